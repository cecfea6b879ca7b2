"""Forgetting: deletes content that people asked to forget or platforms deleted, from the store and its exports."""
