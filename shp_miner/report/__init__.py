"""Numbers for people: what a store holds and what an export left out."""
