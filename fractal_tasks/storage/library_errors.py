"""What libraries raise on files that are not what they expect, as one error of ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.storage.pixels.chunks import UNREADABLE
from fractal_tasks.storage.upstream import registry_error

_ODD = "its metadata are not as OME-Zarr has them"
_USUAL = {
    "AttributeError": _ODD,
    "KeyError": f"{_ODD}, without",
    "TypeError": _ODD,
    "ValidationError": _ODD,
    "FileNotFoundError": "there is nothing",
    "GroupNotFoundError": "there is nothing",
    "JSONDecodeError": "its metadata are no JSON",
    "NgioError": "a part of it is missing or damaged",
    "NgioFileNotFoundError": "there is nothing",
    "NgioValidationError": _ODD,
}
"""What users meet most, instead of the names that libraries have for it."""

_VERSION = re.compile(r"Version \d\.\d: \d+ validation errors? for \w+ ")
"""Before what ngio says of metadata that are of no version it knows."""

_OTHER_VERSION = re.compile(r"(ome|multiscales|well|plate) Field required")
"""What it says where they are of another one."""

_MAX_CAUSE_LENGTH = 300
_TRIMMINGS = re.compile(
    r"\[type=.*?input_type=\w+\]|For further information visit \S+", re.DOTALL
)


@contextmanager
def reading(found: str, remedy: str) -> Iterator[None]:
    """Say in one error what is wrong with a file that a library cannot read.

    Only around the calls that open or read: a bug of ours would look like damage, too.

    Args:
        found: Where and what was found, e.g. `"<url>: found no image"`.
        remedy: What to do.

    Raises:
        InvalidDataError: The body raised what damaged files make libraries raise.
            Errors of this package pass unchanged.
    """
    try:
        yield
    except FractalTasksError:
        raise
    except library_errors() as error:
        raise InvalidDataError(
            f"{found} ({describe_cause(error)}). {remedy}"
        ) from error


def library_errors() -> tuple[type[Exception], ...]:
    """Give what zarr, ngio, anndata, pandas and the codecs raise on damaged files.

    Few of these are raised on purpose: JSON with a list where an object is needed ends
    as the `TypeError` or `AttributeError` of whatever touches it first.
    """
    from ngio.utils import NgioError

    return (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        NgioError,
        TypeError,
        registry_error(),
        *UNREADABLE,
    )


def describe_cause(error: Exception) -> str:
    """Give the kind and text of an error on one line, without pydantic's trimmings."""
    text = " ".join(_TRIMMINGS.sub("", str(error)).split())
    _, *tries = _VERSION.split(text)
    own = [one for one in tries if not _OTHER_VERSION.match(one)]
    text = (own or tries or [text])[0].replace("Value error, ", "").strip()
    kind = _USUAL.get(type(error).__name__, type(error).__name__)
    return f"{kind}: {shorten(text, _MAX_CAUSE_LENGTH)}"
