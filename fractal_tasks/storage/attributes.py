"""Changing the attributes of groups that are not replaced as a whole."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fractal_tasks.storage.publish import replace_file


@contextmanager
def edit_attributes(group: Path, *, image: Path) -> Iterator[dict[str, Any]]:
    """Give the attributes of a zarr group to change, and write them in one step.

    Writing through zarr would leave its temporary file in the group after a kill.

    Args:
        group: Directory of the image or of its well.
        image: Image directory of the plate; the caller holds its lock and has called
            `heal`.

    Yields:
        The attributes; what the body changes in them is written.

    Raises:
        OSError: Reading or writing failed; the attributes are what they were.
    """
    path = group / "zarr.json"
    if path.exists():
        document = json.loads(path.read_bytes())
        attributes = document.setdefault("attributes", {})
    else:
        path = group / ".zattrs"
        document = json.loads(path.read_bytes()) if path.exists() else {}
        attributes = document
    before = json.dumps(document)
    yield attributes
    if json.dumps(document) != before:
        content = json.dumps(document, indent=2).encode()
        replace_file(path, content, image=image)
