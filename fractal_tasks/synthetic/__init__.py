"""A synthetic multiplexed plate with exact truth, to judge the other layers by.

Imports none of them. See `fractal_tasks.synthetic.plate` for geometry and conventions.
"""

from fractal_tasks.synthetic.options import PlateOptions
from fractal_tasks.synthetic.plate import create_plate
from fractal_tasks.synthetic.truth import Truth, load_truth

__all__ = ["PlateOptions", "Truth", "create_plate", "load_truth"]
