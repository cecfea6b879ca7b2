"""Checks an export again, from its files alone, and says what trainers would make of its rows."""
