"""What is in a plate: wells, images, ROIs and ROI tables, and one unit of work."""
