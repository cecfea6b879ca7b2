"""Trains reward models on an export, and scores answers with them."""
