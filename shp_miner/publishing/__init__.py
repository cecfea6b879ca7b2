"""Pushes an export to the Hugging Face Hub, and removes what earlier pushes left in the history there."""
