"""The size of what is looked for, from which other lengths here are derived."""

STRUCTURE_UM = 10.0
"""Diameter of a small nucleus. Lengths are a few parts or multiples of it, and only
their order of magnitude matters; in tissues or bacteria this is what would change."""
