"""Forgetting: what people and platforms asked to be forgotten leaves tables, old versions, caches and exports."""
