"""Exports: writes preferences in the formats of trainers. An export appears complete or not at all."""
