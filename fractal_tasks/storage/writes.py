"""Writes that zarr has under way."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from zarr.core.sync import sync


@contextmanager
def finished_writes() -> Iterator[None]:
    """Wait at the end until zarr writes nothing more.

    If one of several writes fails, zarr raises at once, and the others go on in its
    own thread. They would bring back the folders that are removed after the error.
    """
    try:
        yield
    finally:
        # zarr has no public name for waiting on its event loop.
        sync(_wait_for_others())


async def _wait_for_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
