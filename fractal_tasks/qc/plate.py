"""How the wells of a plate moved: what is known of a well without looking into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fractal_tasks.qc.candidates import Vector
from fractal_tasks.qc.stage import fit_stage

Place: TypeAlias = tuple[float, float]

MIN_CONFIDENCE = 0.5
"""Estimates below say nothing about the plate."""


@dataclass(frozen=True)
class PlatePlacement:
    """The translation that the other wells of a plate suggest for one."""

    translation_um: Vector
    wells: int
    """How many wells were asked."""


def centre_of_well(
    translations_um: Sequence[Vector], confidences: Sequence[float | None]
) -> Vector | None:
    """Give the median of the confident translations of a well; None without any.

    A translation without a confidence counts as confident.
    """
    confident = [
        translation_um
        for translation_um, confidence in zip(translations_um, confidences, strict=True)
        if confidence is None or confidence >= MIN_CONFIDENCE
    ]
    if not confident:
        return None
    z_um, y_um, x_um = np.median(confident, axis=0).tolist()
    return z_um, y_um, x_um


def place_well(place: Place, others: Sequence[tuple[Place, Vector]]) -> PlatePlacement:
    """Say how a well moved from how the others did.

    Args:
        place: Row and column of the well. Wells have the same distance in both.
        others: Places and translations (z, y, x) of other wells, at least one.

    Returns:
        The prediction of a robust fit; linear in row and column where the wells show
        that they moved so.
    """
    places, centres_um = (np.array(values) for values in zip(*others, strict=True))
    fit = fit_stage(places, centres_um, np.ones(len(others)))
    z_um, y_um, x_um = fit.model.predict([place])[0].tolist()
    return PlatePlacement((z_um, y_um, x_um), len(others))


def place_from_names(row: str, column: str) -> Place:
    """Give the place of a well from its names, e.g. ``'B'`` and ``'03'``: (1, 2).

    A name that is neither a number nor letters says nothing of the place: 0.
    """
    return _number_from_name(row), _number_from_name(column)


def _number_from_name(name: str) -> float:
    if name.isascii() and name.isdecimal():
        return float(name) - 1
    if not (name.isascii() and name.isalpha()):
        return 0.0
    number = 0
    for letter in name.upper():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1.0
