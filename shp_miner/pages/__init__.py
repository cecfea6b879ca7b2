"""Pages for a browser: frame, style sheet, and forum text that can do nothing in them."""
