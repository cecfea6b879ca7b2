"""The documentation inside the program: its pages, and short explanations of its words."""
