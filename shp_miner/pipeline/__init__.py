"""A pipeline file: its keys, and all that it asks for done in one run."""
