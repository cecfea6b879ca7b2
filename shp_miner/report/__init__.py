"""A report of an export or a store: pictures, their findings in words, their tables, and pairs to read."""
