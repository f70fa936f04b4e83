"""No write goes on after an error."""

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from fractal_tasks.storage.writes import finished_writes


class OneFails(LocalStore):
    """Fails to write the first chunk; writes the second one after `caught` is set."""

    caught: ClassVar[threading.Event] = threading.Event()

    async def set(self, key: str, value: Any) -> None:
        if key == "c/0":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), key)
        if key == "c/1":
            await asyncio.to_thread(self.caught.wait, 30)
        await super().set(key, value)


def write(array: "zarr.Array[Any]") -> None:
    try:
        array[...] = np.ones(8)
    except OSError:
        OneFails.caught.set()
        raise


def test_a_write_that_goes_on_after_an_error_is_waited_for(tmp_path: Path) -> None:
    """It would bring back a folder that is removed after the error."""
    array = zarr.create_array(OneFails(tmp_path), shape=(8,), chunks=(4,), dtype="u1")
    with pytest.raises(OSError, match="No space left"), finished_writes():
        write(array)
    assert (tmp_path / "c/1").exists()
