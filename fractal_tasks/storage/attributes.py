"""Changing the attributes of groups that are not replaced as a whole."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fractal_tasks.storage.publish import replace_file
from fractal_tasks.storage.stores import open_group
from fractal_tasks.storage.urls import ImageUrl, Location


@contextmanager
def edit_attributes(group: Location, *, image: ImageUrl) -> Iterator[dict[str, Any]]:
    """Give the attributes of a zarr group to change, and write them in one step.

    On a file system, writing through zarr would leave its temporary file in the group
    after a kill.

    Args:
        group: Folder of the image or of its well.
        image: Image of the plate; the caller holds its lock and has healed it.

    Yields:
        The attributes; what the body changes in them is written.

    Raises:
        OSError: Reading or writing failed; the attributes are what they were.
    """
    if group.is_remote:
        remote = open_group(group, mode="r+")
        attributes = remote.attrs.asdict()
        before = copy.deepcopy(attributes)
        yield attributes
        if attributes != before:
            remote.attrs.put(attributes)
        return
    path = group.path / "zarr.json"
    if path.exists():
        document = json.loads(path.read_bytes())
        attributes = document.setdefault("attributes", {})
    else:
        path = group.path / ".zattrs"
        document = json.loads(path.read_bytes()) if path.exists() else {}
        attributes = document
    unchanged = json.dumps(document)
    yield attributes
    if json.dumps(document) != unchanged:
        content = json.dumps(document, indent=2).encode()
        replace_file(path, content, image=image.path)
