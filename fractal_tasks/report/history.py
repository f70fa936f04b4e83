"""By what an image was registered: tasks, versions, settings."""

import json
from collections.abc import Sequence

from fractal_tasks.records.judgement import read_replacing_records, read_table_record
from fractal_tasks.records.provenance import Record
from fractal_tasks.storage.urls import ImageUrl


def read_history(
    images: Sequence[ImageUrl], tables: Sequence[str]
) -> dict[str, Record]:
    """Read what made the first image of which it is known.

    Args:
        images: All of a plate, which were registered alike.
        tables: Names of the input ROI table and of the registered one.

    Returns:
        The records of the steps, by the names of their tasks.
    """
    for image in reversed(images):
        found = read_replacing_records(image)
        in_tables = (read_table_record(image, name) for name in tables)
        found = found or [one for one in in_tables if one is not None]
        if found:
            return {one.task: one for one in found}
    return {}


def describe_settings(record: Record) -> list[tuple[str, str]]:
    """Give the settings of a step as words, sorted by name."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in sorted(record.settings.items())
    ]
