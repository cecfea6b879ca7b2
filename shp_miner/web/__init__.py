"""A blind audit of pairs in the browser, its results, and a face for the threads of a store."""
