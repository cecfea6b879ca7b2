"""Looking after a store: what is in it, how it is, and mending it."""
