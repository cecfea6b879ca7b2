"""Text: repairing and cleaning what people wrote."""
