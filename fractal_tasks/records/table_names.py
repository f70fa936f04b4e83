"""Names of registered ROI tables."""

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.urls import MAX_NAME_BYTES, is_name


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
