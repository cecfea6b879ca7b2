"""Crawling: live forums into the store, and visits to threads that were read before.

Scripts import `crawl` and `recheck` from here, as from `shp_miner`; `__init__.pyi` has the names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
