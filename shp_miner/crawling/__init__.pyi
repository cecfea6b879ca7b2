from .result import Crawled as Crawled
from .run import Access as Access
from .run import crawl as crawl
from .run import recheck as recheck
