"""By what an image was registered: tasks, versions, settings."""

import json
from collections.abc import Sequence

from fractal_tasks.records.judgement import read_applied_steps, read_table_record
from fractal_tasks.records.provenance import Record
from fractal_tasks.report.images import SortedImages
from fractal_tasks.storage.urls import ImageUrl


def read_history(images: SortedImages, tables: Sequence[str]) -> dict[str, Record]:
    """Read what made the first images of which it is known.

    Args:
        images: All of a plate, which were registered alike.
        tables: Names of the input ROI table and of the registered one.

    Returns:
        The records of the steps, by the names of their tasks.
    """
    last_first = images.told[::-1]
    told = (_read_steps(image, tables) for image in last_first)
    in_place = (image for image in last_first if image in images.in_place)
    applied = map(read_applied_steps, (*images.registered.values(), *in_place))
    # What is told of ROIs comes from the former, *apply* maybe from the latter alone.
    history = {one.task: one for one in next(filter(None, told), [])}
    for one in next(filter(None, applied), []):
        history.setdefault(one.task, one)
    return history


def _read_steps(image: ImageUrl, tables: Sequence[str]) -> list[Record]:
    in_tables = (read_table_record(image, name) for name in tables)
    return read_applied_steps(image) or [one for one in in_tables if one is not None]


def describe_settings(record: Record) -> list[tuple[str, str]]:
    """Give the settings of a step as words, sorted by name."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in sorted(record.settings.items())
    ]
