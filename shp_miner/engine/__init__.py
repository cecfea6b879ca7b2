"""Engines run tasks. A task is a plain function of plain data: files in, files out under atomic names.

So a task may run twice, and another cluster needs one more file here. `__init__.pyi` has the names,
which are imported when used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
