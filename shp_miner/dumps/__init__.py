"""Readers of files a user already holds. Each yields chunks of observations and counts what it leaves out."""
