"""Health of a store: its contents, its state, and its repair."""
