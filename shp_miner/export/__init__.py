"""Exports: one corpus in every trainer's format, whole or not at all."""
