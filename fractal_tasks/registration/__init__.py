"""Methods that estimate a transform between two images, and how sure they are of it.

Pure code: arrays and pixel sizes in, an `Estimate` out; no OME-Zarr, no tables.
"""
