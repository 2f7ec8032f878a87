"""Sightline: from a folder of labelled road images to a trustworthy, reported segmentation baseline."""

__version__ = "0.1.0"
