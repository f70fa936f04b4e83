"""Methods that estimate a transform between two images, and their agreement.

Pure code: arrays and pixel sizes in, an `Estimate` out; no OME-Zarr, no tables.
"""
