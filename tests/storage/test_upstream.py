"""What is borrowed from other packages' private parts is still there.

A test that fails here names what vanished; `storage.upstream` says why it was needed.
"""

import asyncio
import errno
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import numcodecs
import numpy as np
import pytest
import zarr
from ngio.tables import MaskingRoiTable, RoiTable
from ngio.utils import ZarrGroupHandler
from zarr.storage import LocalStore

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage import upstream
from fractal_tasks.storage.library_errors import library_errors, reading
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.plain_plates import channels, write_image
from tests.storage.tiny import TABLE, TINY, WELL, make_roi


def test_ngio_shows_the_groups_of_an_image_and_of_its_tables(
    make_plate: MakePlate,
) -> None:
    """`_group_handler` of `OmeZarrContainer` and of `TablesContainer`."""
    container = open_image(parse_image_url(f"{make_plate(**TINY)}/{WELL}/1")).container
    image = upstream.group_handler_of(container)
    tables = upstream.group_handler_of(container.tables_container)
    for handler, path in ((image, "tables"), (tables, TABLE)):
        assert isinstance(handler, ZarrGroupHandler)
        inner = handler.get_handler(path=path, create_mode=False)
        assert inner.load_attrs()


def test_ngio_takes_the_metadata_of_roi_tables() -> None:
    """`RoiTableV1Meta` and `MaskingRoiTableV1Meta` of `ngio.tables.v1._roi_table`."""
    meta = upstream.roi_table_meta()(backend="csv")
    assert RoiTable(rois=[make_roi("a")], meta=meta).meta.backend == "csv"
    masking = upstream.masking_roi_table_meta()(backend="csv")
    assert MaskingRoiTable(rois=[], meta=masking).meta.backend == "csv"


def test_ngio_remarks_on_further_columns_with_the_words_that_are_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The logger `ngio:ngio.tables.v1._roi_table`."""
    (name,) = (name for name in upstream.REMARKING_LOGGERS if "ngio" in name)
    _ = RoiTable(rois=[make_roi("a", whatever=1.0)]).dataframe
    (record,) = caplog.records
    assert record.name == name
    assert upstream.REMARKING_LOGGERS[name] in record.getMessage()
    caplog.clear()
    with upstream.quiet_remarks_on_columns():
        _ = RoiTable(rois=[make_roi("a", whatever=1.0)]).dataframe
    assert caplog.records == []


def test_anndata_remarks_on_columns_of_text_with_the_words_that_are_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The logger `anndata`, in `AnnData.strings_to_categoricals`."""
    import pandas as pd
    from anndata import AnnData

    table = AnnData(obs=pd.DataFrame({"text": ["a", "a", "b"]}, index=["1", "2", "3"]))
    with caplog.at_level(logging.INFO, logger="anndata"):
        table.strings_to_categoricals()
    (record,) = caplog.records
    assert record.name == "anndata"
    assert upstream.REMARKING_LOGGERS["anndata"] in record.getMessage()


def test_ngio_looks_for_attributes_of_an_image_where_we_put_them(
    tmp_path: Path,
) -> None:
    """`_attrs_cache` and `_group` of `ZarrGroupHandler`."""
    omero = channels({"label": "DAPI"}, {"label": "DAPI"})
    pixels = np.zeros((2, 8, 8), "uint8")
    folder = write_image(tmp_path / "image", pixels, omero=omero)
    container = upstream.open_container(str(folder))
    assert container.get_image().shape == (2, 8, 8)
    assert upstream.attributes_of(container)["omero"] == omero


def test_anndata_says_what_it_cannot_read_by_the_error_we_know(tmp_path: Path) -> None:
    """`anndata._io.specs.registry.IORegistryError`."""
    from anndata.io import read_elem

    error = upstream.registry_error()
    assert error in library_errors()
    group = zarr.create_group(
        tmp_path, attributes={"encoding-type": "unheard of", "encoding-version": "9"}
    )
    with pytest.raises(error):
        read_elem(group)
    with (
        pytest.raises(InvalidDataError, match="IORegistryError"),
        reading("damaged", ""),
    ):
        read_elem(group)


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
    """`zarr.core.sync.sync`. It would bring back a folder removed after the error."""
    array = zarr.create_array(OneFails(tmp_path), shape=(8,), chunks=(4,), dtype="u1")
    with (
        pytest.raises(OSError, match="No space left"),
        upstream.finished_writes(),
    ):
        write(array)
    assert (tmp_path / "c/1").exists()


def test_what_zarr_still_waits_for_ends_at_exit_without_remarks() -> None:
    """A request that clears up in another context, as those of aiobotocore do."""
    code = (
        "import asyncio, contextvars\n"
        "from zarr.core.sync import sync\n"
        "from fractal_tasks.storage.upstream import cancel_requests_at_exit\n"
        "variable = contextvars.ContextVar('variable')\n"
        "async def wait():\n"
        "    token = variable.set(1)\n"
        "    try: await asyncio.sleep(600)\n"
        "    finally: variable.reset(token)\n"
        "async def begin():\n"
        "    asyncio.get_running_loop().waiting = asyncio.create_task(wait())\n"
        "    await asyncio.sleep(0)\n"
        "{}sync(begin())\n"
    )
    for words, is_quiet in (("", False), ("cancel_requests_at_exit(); ", True)):
        run = subprocess.run(
            [sys.executable, "-c", code.format(words)], capture_output=True, text=True
        )
        assert (run.stderr == "") == is_quiet


def test_header_of_a_blosc_chunk_tells_its_length() -> None:
    pixels = np.random.default_rng(0).integers(0, 99, 5000, dtype="uint16")
    for codec in (numcodecs.Blosc("lz4"), numcodecs.Blosc("zstd", shuffle=2)):
        chunk = codec.encode(pixels)
        header = chunk[: upstream.BLOSC_HEADER_BYTES]
        assert upstream.declared_blosc_bytes(header) == len(chunk)


def test_numcodecs_still_decodes_a_blosc_chunk_that_was_cut() -> None:
    """Once this fails, numcodecs looks itself.

    When the lowest version that is allowed does, `declared_blosc_bytes` and
    `_check_lengths` of `storage.pixels.chunks` can go.
    """
    # What cannot be compressed is stored as it is: decoding is copying.
    pixels = np.full(64, 7, "uint8")
    chunk = numcodecs.Blosc(clevel=0).encode(pixels)
    assert chunk[-1] == 7
    found = np.frombuffer(numcodecs.Blosc().decode(chunk[:-1]), "uint8")
    assert found.size == pixels.size


def test_manifest_is_made_by_what_the_command_of_fractal_task_tools_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fractal_task_tools._create_manifest.create_manifest`."""
    package = tmp_path / "some_tasks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "work.py").write_text(
        "def work(*, zarr_url: str, strength: int = 3) -> None:\n"
        '    """Do something.\n\n    Args:\n'
        "        zarr_url: The image.\n        strength: How much.\n"
        '    """\n'
    )
    (package / "tasks.py").write_text(
        "from fractal_task_tools.task_models import ParallelTask\n"
        'AUTHORS = "none"\n'
        'TASK_LIST = [ParallelTask(name="Work", executable="work.py")]\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    manifest = upstream.create_manifest("some_tasks", "tasks")
    (task,) = manifest["task_list"]
    assert task["name"] == "Work"
    assert "strength" in task["args_schema_parallel"]["properties"]


def test_fractal_task_tools_sets_up_the_log_as_it_is_imported() -> None:
    """And this package, which imports it, leaves the log alone."""
    code = "import logging, %s; print(len(logging.root.handlers), logging.root.level)"
    shown = [
        subprocess.check_output([sys.executable, "-c", code % module], text=True)
        for module in ("fractal_task_tools", "fractal_tasks.dev.task_list")
    ]
    assert shown == ["1 20\n", "0 30\n"]
