"""Synthetic medical images from five model families. Importing the package imports no torch."""

__version__ = "0.1.0"
