"""What tells two versions of a file or an object apart without reading it."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class FileVersion:
    """A file or an object as it was when it was listed."""

    path: str
    """Relative to the folder that was listed."""

    size_bytes: int
    stamp: str
    """Changes when it is written again: time of the last change (ns), or an ETag."""
