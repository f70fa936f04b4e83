"""What tasks do, callable from several of them.

    measure_rois      estimate how each ROI of an acquisition moved (*calculate*)
    roi_pairs         the ROIs of two acquisitions, opened and prepared for that
    judge_well        judge the estimates of a well together (*find consensus*)
    register_image    register one image (*apply*), from these two:
    derived_image     write an image that is made from another, with all it holds
    registered_parts  the pixels, labels and tables of a registered image
    plate_movement    what the wells of a plate say about each other

A step takes opened or parsed arguments, does its work under the locks it needs, and
logs what it found; the tasks above have signatures, docstrings and nothing else.
"""
