"""Pipelines: reads a pipeline file and runs its steps."""
