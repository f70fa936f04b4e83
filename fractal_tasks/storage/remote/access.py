"""What all access to object stores shares: fsspec's options, and its errors as ours.

Imported for remote urls only.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fractal_tasks.errors import (
    FractalTasksError,
    InvalidDataError,
    InvalidInputError,
    PublishError,
)
from fractal_tasks.storage.urls import Location

_FOREIGN_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("azure.core.exceptions", "AzureError"),
)
"""Errors of file systems that are no OSError."""


def _store_errors() -> tuple[type[Exception], ...]:
    """Give the errors by which the file systems that are loaded tell of failures.

    Options that do not fit, such as an endpoint without protocol, some find only with
    the first request.
    """
    loaded = [
        getattr(sys.modules[module], name)
        for module, name in _FOREIGN_ERRORS
        if module in sys.modules
    ]
    return (OSError, TypeError, ValueError, *loaded)


@contextmanager
def reading_store(url: str) -> Iterator[None]:
    """Turn errors of a file system on reading into `InvalidDataError`."""
    try:
        yield
    except FractalTasksError:
        raise
    except _store_errors() as error:
        raise InvalidDataError(
            f"{url}: could not be read from the object store ({_describe(error)}). "
            "Check that bucket and path exist, the credentials (environment or "
            "storage_options) and the endpoint, and that they allow to read and list."
        ) from error


@contextmanager
def writing_store(url: str) -> Iterator[None]:
    """Turn errors of a file system on writing into `PublishError`."""
    try:
        yield
    except FractalTasksError:
        raise
    except _store_errors() as error:
        raise PublishError(
            f"{url}: could not be written to the object store ({_describe(error)}). "
            "Check that the credentials (environment or storage_options) allow to "
            "read, list, write and delete, and the quota, then run the task again."
        ) from error


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def options_of(location: Location) -> dict[str, Any]:
    """Give the options for fsspec; those of the user go before ours."""
    options: dict[str, Any] = {"use_listings_cache": False}
    if location.url.partition("://")[0] in {"s3", "s3a"}:
        # Else s3fs asks for the size of an object before each read.
        options["max_concurrency"] = 1
    return {**options, **location.storage_options}


@contextmanager
def opening_store(location: Location) -> Iterator[None]:
    """Say what to do where fsspec cannot make the file system of a url."""
    try:
        yield
    except ImportError as error:
        raise InvalidInputError(
            f"{location.url}: its file system is not installed ({error}). Install "
            'it: pip install "fractal-tasks[remote]" for S3.'
        ) from error
    except (TypeError, ValueError):
        # Without the reason: it may quote options.
        raise InvalidInputError(
            f"{location.url}: found an unknown protocol, or storage_options that its "
            f"file system does not know ({sorted(location.storage_options)}). Correct "
            "them as fsspec documents it."
        ) from None
