"""Turns, as affine transforms."""

import numpy as np

from fractal_tasks.transforms import Affine, Vector, plane_matrix


def turn_about(centre_um: Vector, *, degrees: float) -> Affine:
    """Give a rotation in the plane, from the x axis towards the y axis."""
    matrix = plane_matrix(turn_rad=-np.deg2rad(degrees))
    return Affine.about(centre_um, matrix, (0.0, 0.0, 0.0))
