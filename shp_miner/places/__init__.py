"""Places: where files lie, on a disk of this machine or in an object store, read and written by the same words.

`expanded` in `shp_miner/paths.py` gives a path for whatever a user wrote; for a URL it is a `RemotePath`
(`shp_miner/places/path.py`). With `storage_options` in `shp_miner/places/access.py`, delta-rs and polars reach the same
object store.
"""
