"""Mining: applying a rule to a range of threads."""
