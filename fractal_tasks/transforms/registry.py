"""The transform types there are, and their JSON text."""

import json

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms.base import Transform
from fractal_tasks.transforms.translation import Translation

TRANSFORM_TYPES: dict[str, type[Transform]] = {
    transform_type.type: transform_type for transform_type in (Translation,)
}
"""Name a new transform type here: storage and its contract tests follow."""


def transform_to_json(transform: Transform) -> str:
    """Write a transform as JSON text with the fields of OME-NGFF RFC-5."""
    return json.dumps({"type": transform.type, **transform.to_dict()})


def transform_from_json(text: str) -> Transform:
    """Read a transform from the JSON text that `transform_to_json` wrote.

    Raises:
        InvalidDataError: The text is not JSON of a known transform.
    """
    try:
        fields = json.loads(text)
        return TRANSFORM_TYPES[fields.pop("type")].from_dict(fields)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidDataError(
            f"stored transform {text!r} cannot be read ({error!r}); known types: "
            f"{sorted(TRANSFORM_TYPES)}. Run 'Calculate Registration (image-based)' "
            "again."
        ) from error
