"""Mining: a range of threads through a rule."""
