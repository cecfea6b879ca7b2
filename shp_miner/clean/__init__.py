"""Which texts, answers and pairs are fit to learn from, beyond what the rule says: pure functions over frames."""
