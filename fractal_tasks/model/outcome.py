"""What became of an image, in one word."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Literal, TypeAlias, TypeVar

from fractal_tasks.model.verdict import Status

Outcome: TypeAlias = Literal[
    "reference", "measured", "partly_imputed", "partly_unresolved", "unresolved", "none"
]
"""Attribute ``registration`` of an image in the image list of a Fractal server.

``measured``: all ROIs are measured, chosen or imported. ``partly_imputed``: some are
imputed, and none is unresolved. ``partly_unresolved``: some are unresolved.
``unresolved``: all are. ``none``: there was nothing to register it to, or no verdict.
"""

OUTCOME_ATTRIBUTE = "registration"

_Image = TypeVar("_Image", bound=Hashable)


def find_outcome(statuses: Iterable[Status | None]) -> Outcome:
    """Say what became of an image, from the statuses of its ROIs."""
    found = set(statuses) - {None}
    if not found:
        return "none"
    if found == {"reference"}:
        return "reference"
    if found == {"unresolved"}:
        return "unresolved"
    if "unresolved" in found:
        return "partly_unresolved"
    return "partly_imputed" if "imputed" in found else "measured"


def find_outcomes(
    statuses: Mapping[_Image, Iterable[Status | None]],
) -> dict[_Image, Outcome]:
    """Say what became of each image of a well; one alone has nothing to register to."""
    if len(statuses) == 1:
        return dict.fromkeys(statuses, "none")
    return {image: find_outcome(own) for image, own in statuses.items()}
