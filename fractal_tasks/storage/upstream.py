"""What this package borrows from other packages' private parts, and works around.

Each entry says why it is needed, where it lies, and with which version it was last
seen. `tests/storage/test_upstream.py` has a test for each that names what vanished.
Nothing heavy is imported before it is used.
"""

import asyncio
import atexit
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import zarr
    from ngio import Label, OmeZarrContainer
    from ngio.tables import TablesContainer
    from ngio.tables.v1._roi_table import MaskingRoiTableV1Meta, RoiTableV1Meta
    from ngio.utils import StoreOrGroup, ZarrGroupHandler


def group_handler_of(
    container: "OmeZarrContainer | TablesContainer | Label",
) -> "ZarrGroupHandler":
    """Give the handler by which ngio reads the groups of an image, table or label.

    Why: ngio takes a list of tables or labels that is damaged for one that is empty,
    guesses the type of a table that has none, and takes a missing unit for micrometres.
    All is seen in the attributes only, and opening the groups anew would read each of
    them twice.
    Where: `_group_handler` of these classes, ngio 1.1.3,
    https://github.com/BioVisionCenter/ngio/blob/main/src/ngio/tables/_tables_container.py
    """
    return container._group_handler


def open_container(
    store: "StoreOrGroup", mode: Literal["r", "r+"] = "r"
) -> "OmeZarrContainer":
    """Open an image, whatever its metadata say of the channels.

    Why: ngio refuses an image of which the channels have no window or colour, or the
    same label twice. This package reads channels by itself (`plate.channels`), so they
    are kept from ngio.
    Where: `_attrs_cache` of `ZarrGroupHandler`, ngio 1.1.3,
    https://github.com/BioVisionCenter/ngio/blob/main/src/ngio/utils/_zarr_utils.py
    """
    from ngio import OmeZarrContainer
    from ngio.utils import ZarrGroupHandler

    handler = ZarrGroupHandler(store=store, cache=True, mode=mode)
    attributes = handler.load_attrs()
    ome = attributes.get("ome", attributes)
    if isinstance(ome, dict):
        ome.pop("omero", None)
    handler._attrs_cache = attributes
    return OmeZarrContainer(group_handler=handler)


def get_label(
    container: "OmeZarrContainer", name: str, path: str | None = None
) -> "Label":
    """Open a level of a label, the finest if none is given.

    Why: ngio refuses labels of OME-Zarr 0.4 without `image-label`, which ought to be
    there, and need not.
    Where: `_attrs_cache` of `ZarrGroupHandler`, as `open_container`.
    """
    labels = container.labels_container._group_handler
    handler = labels.get_handler(name, create_mode=False)
    attributes = handler.load_attrs()
    if "ome" not in attributes:
        attributes.setdefault("image-label", {})
        handler._attrs_cache = attributes
    return container.get_label(name, path=path)


def zarr_group_of(tables: "TablesContainer", name: str) -> "zarr.Group":
    """Give the group of a table, without opening it again.

    Why: what ngio reads without a look at its chunks has to be looked at before.
    Where: `_group` of `ZarrGroupHandler`, ngio 1.1.3, as `open_container`.
    """
    return group_handler_of(tables).get_handler(path=name, create_mode=False)._group


def attributes_of(container: "OmeZarrContainer") -> dict[str, Any]:
    """Give the attributes of an image as they are stored, without reading them again.

    Why and where: as `open_container`, which keeps some of them from ngio.
    """
    attributes: dict[str, Any] = group_handler_of(container)._group.attrs.asdict()
    return attributes


def roi_table_meta() -> "type[RoiTableV1Meta]":
    """Give the class of the metadata of a ROI table.

    Why: `RoiTable` takes metadata, but its class has no public name.
    Where: ngio 1.1.3,
    https://github.com/BioVisionCenter/ngio/blob/main/src/ngio/tables/v1/_roi_table.py
    """
    from ngio.tables.v1._roi_table import RoiTableV1Meta

    return RoiTableV1Meta


def masking_roi_table_meta() -> "type[MaskingRoiTableV1Meta]":
    """Give the class of the metadata of a masking ROI table, as `roi_table_meta`."""
    from ngio.tables.v1._roi_table import MaskingRoiTableV1Meta

    return MaskingRoiTableV1Meta


REMARKING_LOGGERS = {
    "ngio:ngio.tables.v1._roi_table": "is not part of the ROI table specification",
    "anndata": "as categorical",
}
"""Loggers, and what is in their remarks on further columns of a ROI table.

Why: Fractal's ROI tables may have any further columns, and most have; a line in the log
for each of them, table and task would bury what matters. Neither can be switched off.
Where: `_check_optional_columns` of ngio 1.1.3, `strings_to_categoricals` of anndata
0.12.19,
https://github.com/scverse/anndata/blob/main/src/anndata/_core/anndata.py
"""


class _FurtherColumns(logging.Filter):
    """Drops the remarks of a logger on further columns."""

    def filter(self, record: logging.LogRecord) -> bool:
        return REMARKING_LOGGERS[record.name] not in record.getMessage()


@contextmanager
def quiet_remarks_on_columns() -> Iterator[None]:
    """Drop the remarks that `REMARKING_LOGGERS` tells of."""
    remarks = _FurtherColumns()
    for name in REMARKING_LOGGERS:
        logging.getLogger(name).addFilter(remarks)
    try:
        yield
    finally:
        for name in REMARKING_LOGGERS:
            logging.getLogger(name).removeFilter(remarks)


def registry_error() -> type[Exception]:
    """Give what anndata raises for a table of a kind that it cannot read or write.

    Why: a damaged table has to be told from a bug, and the class has no public name.
    Where: anndata 0.12.19; a traceback with it: BioVisionCenter/ngio#151,
    https://github.com/scverse/anndata/blob/main/src/anndata/_io/specs/registry.py
    """
    from anndata._io.specs.registry import IORegistryError

    error: type[Exception] = IORegistryError
    return error


@contextmanager
def finished_writes() -> Iterator[None]:
    """Wait at the end until zarr writes nothing more.

    Why: if one of several writes fails, zarr raises at once, and the others go on in
    its own thread. They would bring back the folders that are removed after the error.
    Where: `zarr.core.sync.sync`, zarr 3.1.6; a public name for it is asked for in
    https://github.com/zarr-developers/zarr-python/pull/3997
    """
    from zarr.core.sync import sync

    try:
        yield
    finally:
        sync(_wait_for_others())


async def _wait_for_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


def cancel_requests_at_exit() -> None:
    """End at exit what zarr still waits for.

    Why: of requests to a store that are made at once, one that fails leaves the others
    waiting, and Python shows a traceback of each that it throws away.
    Where: as `finished_writes`.
    """
    # The import registers what stops the event loop; last comes first.
    from zarr.core.sync import loop, sync

    atexit.register(lambda: None if loop[0] is None else sync(_cancel_others()))


async def _cancel_others() -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await _wait_for_others()


def list_keys(array: "zarr.Array[Any]") -> list[str]:
    """Give the keys of all that is stored of an array, relative to its own.

    Why: zarr has no public way to list without asking for each chunk that is declared.
    Where: `zarr.core.sync.sync`, zarr 3.1.6, as `finished_writes`.
    """
    from zarr.core.sync import sync

    prefix = f"{array.path}/" if array.path else ""
    keys: list[str] = sync(_collect(array.store.list_prefix(prefix)))
    return [key.removeprefix(prefix) for key in keys]


async def _collect(keys: AsyncIterator[str]) -> list[str]:
    return [key async for key in keys]


BLOSC_HEADER_BYTES = 16
"""The length of the header of a blosc chunk."""


def declared_blosc_bytes(header: bytes) -> int:
    """Give the length of a blosc chunk that its header tells.

    Why: blosc reads beyond the end of a chunk that was cut, and numcodecs 0.16.6 does
    not look: what lies there in memory may well decompress, to wrong pixels. zarr's
    own codec calls numcodecs. This, and the check with it in `pixels.chunks`, can go
    once the lowest numcodecs that is allowed looks itself.
    Where: https://github.com/zarr-developers/numcodecs/issues/228, mended by
    https://github.com/zarr-developers/numcodecs/pull/854 (open); the header:
    https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst

    Args:
        header: The first `BLOSC_HEADER_BYTES` bytes of the chunk, or all of a shorter
            one.
    """
    return int.from_bytes(header[-4:], "little")


@contextmanager
def log_unchanged() -> Iterator[None]:
    """Leave the log of the process as its owner has it.

    Why: fractal-task-tools sets it up to show everything as soon as it is imported,
    also where a notebook or script imports this package.
    Where: `fractal_task_tools/__init__.py` 0.5.1,
    https://github.com/fractal-analytics-platform/fractal-task-tools
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def create_manifest(package: str, task_list: str) -> dict[str, Any]:
    """Generate the manifest of a package from its task list.

    Why: the command `fractal-manifest` always writes it into the folder of the package;
    this project keeps it beside, and compares it byte for byte.
    Where: what that command calls, fractal-task-tools 0.5.1,
    https://github.com/fractal-analytics-platform/fractal-task-tools

    Args:
        package: Name of the package, as it is imported.
        task_list: Module of the task list, relative to the package.

    Raises:
        ValueError: A signature has something that a Fractal web form cannot show.
    """
    from fractal_task_tools._create_manifest import create_manifest as create

    manifest: dict[str, Any] = create(
        raw_package_name=package, task_list_path=task_list
    )
    return manifest
