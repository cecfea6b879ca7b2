"""The store: two append-only Delta tables, posts and answers. A row is one observation; the newest wins.

Modules that need no tables are imported without them: importing tables takes a second. `__init__.pyi` has the names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
