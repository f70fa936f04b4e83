"""Which planes of a stack are compared."""

from typing import Annotated, TypeAlias

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.text_form import TextForm

ALL_PLANES = "all"

Planes: TypeAlias = Annotated[
    str,
    TextForm(
        r"^(all|[1-9][0-9]*|[0-9]+-[0-9]+)$",
        "'all', so many planes in the middle, as '5', or the first to the last one, "
        "counted from 0, as '2-9'",
    ),
]
"""``all``, so many in the middle (``5``), or first to last (``2-9``, from 0)."""


def choose_planes(planes: str, count: int, where: str) -> range:
    """Give the planes of a stack that are compared.

    Args:
        planes: As `Planes` says.
        count: How many the stack has.
        where: Names the ROI in errors.

    Raises:
        InvalidInputError: It has not so many.

    Example:
        >>> choose_planes("4", 10, "ROI"), choose_planes("2-9", 10, "ROI")
        (range(3, 7), range(2, 10))
    """
    if planes == ALL_PLANES:
        return range(count)
    first, has_last, last = planes.partition("-")
    if not has_last:
        wanted = min(int(first), count)
        start = (count - wanted) // 2
        return range(start, start + wanted)
    found = range(int(first), int(last) + 1)
    if not found or found.stop > count:
        raise InvalidInputError(
            f"{where}: planes={planes!r}, but the stack has the planes 0-{count - 1}. "
            "Choose some of these, first to last, or how many in the middle."
        )
    return found
