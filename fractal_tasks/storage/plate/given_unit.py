"""The unit of length that was given for metadata without one.

If it is not the usual one, it is noted in the attributes of the folder of an image's
tables, with the first table that is computed with it, and holds for all that is done
with the image later. The metadata of the image are its maker's, and stay as they are.
"""

from typing import TYPE_CHECKING, Any, get_args

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import USUAL_LENGTH_UNIT, LengthUnit
from fractal_tasks.storage.upstream import group_handler_of

if TYPE_CHECKING:
    from ngio import OmeZarrContainer

GIVEN_UNIT_KEY = "missing_length_unit"


def note_given_unit(attributes: dict[str, Any], unit: LengthUnit) -> None:
    """Note the unit in the attributes of a folder of tables, unless it is known."""
    if unit != attributes.get(GIVEN_UNIT_KEY, USUAL_LENGTH_UNIT):
        attributes[GIVEN_UNIT_KEY] = unit


def read_given_unit(container: "OmeZarrContainer", where: str) -> LengthUnit:
    """Read the unit that was noted with the tables of an image, or give the usual one.

    Args:
        container: The image.
        where: Names it in errors.

    Raises:
        InvalidDataError: What is noted is no unit of length.
    """
    from ngio.utils import NgioFileNotFoundError

    try:
        tables = group_handler_of(container).get_handler(
            path="tables", create_mode=False
        )
    except NgioFileNotFoundError:
        return USUAL_LENGTH_UNIT
    unit: Any = tables.load_attrs().get(GIVEN_UNIT_KEY, USUAL_LENGTH_UNIT)
    if unit not in get_args(LengthUnit):
        raise InvalidDataError(
            f"{where}: the attributes of its folder 'tables' have "
            f"{GIVEN_UNIT_KEY!r}: {unit!r}; needed is one of "
            f"{', '.join(get_args(LengthUnit))}. Correct or remove it."
        )
    known: LengthUnit = unit
    return known
