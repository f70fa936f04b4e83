"""The transform types there are, and their JSON."""

import json
from typing import Any

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import Transform
from fractal_tasks.transforms.translation import Translation

TRANSFORM_TYPES: dict[str, type[Transform]] = {
    transform_type.type: transform_type for transform_type in (Translation, Affine)
}
"""Name a new transform type here: storage and its contract tests follow."""


def transform_to_fields(transform: Transform) -> dict[str, Any]:
    """Give the JSON object of a transform, with the fields of OME-NGFF RFC-5."""
    return {"type": transform.type, **transform.to_dict()}


def transform_from_fields(fields: object) -> Transform:
    """Read a transform from the JSON object that `transform_to_fields` gave.

    Raises:
        InvalidDataError: It is not the object of a known transform.
    """
    try:
        others = dict(fields)  # type: ignore[call-overload]  # whatever JSON there is
        return TRANSFORM_TYPES[others.pop("type")].from_dict(others)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidDataError(
            f"stored transform {fields!r} cannot be read ({error!r}); known types: "
            f"{sorted(TRANSFORM_TYPES)}. Run 'Calculate Registration (image-based)' "
            "again."
        ) from error


def transform_to_json(transform: Transform) -> str:
    """Write a transform as JSON text.

    Example:
        >>> transform_to_json(Translation((0.0, 1.5, -2.0)))
        '{"type": "translation", "translation": [0.0, 1.5, -2.0]}'
    """
    return json.dumps(transform_to_fields(transform))


def transform_from_json(text: str) -> Transform:
    """Read a transform from the JSON text that `transform_to_json` wrote.

    Raises:
        InvalidDataError: The text is not JSON of a known transform.

    Example:
        >>> transform_from_json('{"type": "translation", "translation": [0, 1, 2]}')
        Translation(translation_um=(0.0, 1.0, 2.0))
    """
    try:
        fields = json.loads(text)
    except (RecursionError, TypeError, ValueError):
        fields = text
    return transform_from_fields(fields)
