from .lake import Store as Store
from .lake import StoreWriter as StoreWriter
from .snapshot import HashRange as HashRange
from .snapshot import Snapshot as Snapshot
from .snapshot import Within as Within
