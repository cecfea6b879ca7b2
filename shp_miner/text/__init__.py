"""Text: what people wrote, made sound and clean."""
