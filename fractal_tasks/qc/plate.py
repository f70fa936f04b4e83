"""How the wells of a plate moved: what is known of a well without looking into it."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from fractal_tasks.model import WellMovement
from fractal_tasks.qc.stage import fit_stage
from fractal_tasks.transforms import Vector

Place: TypeAlias = tuple[float, float]
"""Row and column of a well, counted from 0."""

LEAST_FOR_PLATE = 0.5
"""Estimates of a lower confidence say nothing about the plate.

Less than a ROI needs: a median is right if most of its values are.
"""

LEAST_WELLS = 3
"""Fewer other wells cannot show that wells move alike."""

# Before wells have shown how alike they move, they count as one that was 5 um off: 15
# pixels of 0.325 um, as of a bad stage.
_PRIOR_SCATTER_UM = 5.0


def centre_of_well(
    translations_um: Sequence[Vector], confidences: Sequence[float | None]
) -> Vector | None:
    """Give the median of the confident translations of a well; None without any.

    Args:
        translations_um: How far the centre of each ROI moved (z, y, x).
        confidences: Of each; a translation without one counts as confident.
    """
    confident = [
        translation_um
        for translation_um, confidence in zip(translations_um, confidences, strict=True)
        if confidence is None or confidence >= LEAST_FOR_PLATE
    ]
    if not confident:
        return None
    z_um, y_um, x_um = np.median(confident, axis=0).tolist()
    return z_um, y_um, x_um


def predict_movement(
    place: Place, others: Sequence[tuple[Place, Vector]]
) -> WellMovement | None:
    """Say how a well moved from how the others did.

    Args:
        place: That of the well. Wells have the same distance along rows and columns.
        others: Places and translations (z, y, x) of other wells.

    Returns:
        The prediction of a robust fit, linear in row and column where the wells show
        that they moved so, and how far wells are from it; None with fewer than three.

    Example:
        >>> predict_movement((1, 1), [((0, 0), (0.0, 5.0, 7.0))]) is None
        True
    """
    if len(others) < LEAST_WELLS:
        return None
    # Sums of floats depend on the order, which must not be that of the images.
    places, centres_um = (
        np.array(values) for values in zip(*sorted(others), strict=True)
    )
    fit = fit_stage(places, centres_um, np.ones(len(others)))
    z_um, y_um, x_um = fit.model.predict([place])[0].tolist()
    count = len(others)
    # The mean square of what was seen and of the one well that stands for the prior. It
    # holds for single wells; the prediction itself is better known.
    square = (count * fit.scatter_um[1] ** 2 + _PRIOR_SCATTER_UM**2) / (count + 1)
    return WellMovement(
        translation_um=(z_um, y_um, x_um), wells=count, scatter_um=math.sqrt(square)
    )


def place_from_names(row: str, column: str) -> Place:
    """Give the place of a well from the names of its row and column.

    A name that is neither a number nor letters says nothing of the place: 0.

    Example:
        >>> place_from_names("B", "03")
        (1.0, 2.0)
    """
    return _number_from_name(row), _number_from_name(column)


def _number_from_name(name: str) -> float:
    if name.isascii() and name.isdecimal():
        return float(name) - 1
    if not (name.isascii() and name.isalpha()):
        return 0.0
    number = 0
    # After Z comes AA, as on plates of 1536 wells: base 26 with digits from 1.
    for letter in name.upper():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1.0
