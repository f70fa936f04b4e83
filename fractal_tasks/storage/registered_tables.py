"""Registered ROI tables: their name, and their rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.urls import MAX_NAME_BYTES, is_name
from fractal_tasks.transforms.boxes import AXES, PixelBox

if TYPE_CHECKING:
    from ngio import Roi


def format_table_name(template: str, input_roi_table: str) -> str:
    """Give the name of the registered table of `input_roi_table`.

    Args:
        template: The name; ``{input_roi_table}`` stands for the name of the input.
        input_roi_table: Name of the table that was registered.

    Raises:
        InvalidInputError: The name is that of the input, or no plain name.
    """
    # Not str.format: it would evaluate whatever else stands in braces.
    name = template.replace("{input_roi_table}", input_roi_table)
    if "{" in name or "}" in name:
        raise InvalidInputError(
            f"registered_roi_table={template!r}: the only placeholder is "
            "'{input_roi_table}'. Correct the name."
        )
    if name == input_roi_table:
        raise InvalidInputError(
            f"registered_roi_table={name!r} is also the input_roi_table, whose "
            "translations it would overwrite. Choose another name."
        )
    if name.startswith(".") or not is_name(name):
        raise InvalidInputError(
            f"registered_roi_table={name!r}: needed is a plain table name of at most "
            f"{MAX_NAME_BYTES} bytes, without '/' and not starting with '.'."
        )
    return name


def move_roi(
    roi: "Roi",
    region_px: PixelBox,
    spacing_um: tuple[float, float, float],
    columns: Mapping[str, object],
) -> "Roi":
    """Give a ROI another place and other columns.

    Args:
        roi: A row of a ROI table; axes it does not have are not added.
        region_px: Where it lies now, in whole pixels.
        spacing_um: Pixel size (z, y, x).
        columns: New values of further columns; None removes one.
    """
    for axis, start, length, step in zip(
        AXES, region_px.start, region_px.shape, spacing_um, strict=True
    ):
        if roi.get(axis) is not None:
            roi = roi.update_slice(name=axis, new_slice=(start * step, length * step))
    extras = {**(roi.model_extra or {}), **columns}
    fields = {name: getattr(roi, name) for name in type(roi).model_fields}
    present = {key: value for key, value in extras.items() if value is not None}
    return type(roi)(**fields, **present)
