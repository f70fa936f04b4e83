"""Reading and writing OME-Zarr plates: urls, wells, ROI tables, images, replacement.

The only layer that knows ngio and zarr. Micrometres of ROI tables become pixels
here and nowhere else.
"""
