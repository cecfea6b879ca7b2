"""Looking at what was made and why: rows of an export, a thread of a store, and what each rule would give."""
