"""Places: where files lie, in a folder of this machine or below a URL of an object store, read by the same words.

`place` in `shp_miner/places/kinds.py` gives one for a path or URL. With `storage_options` in
`shp_miner/places/access.py`, delta-rs and polars reach the same store.
"""
