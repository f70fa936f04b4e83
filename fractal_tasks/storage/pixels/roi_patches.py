"""ROIs of an image as patches that are read on demand, and decoded once.

A method reads a ROI several times: for quantiles, for the search, again with a rotation
undone, and in windows for every candidate. Decoding a chunk is what costs, so what
was decoded of a ROI is kept in memory, by the cells of the array's chunk grid.

Not thread-safe: all patches of an image are read from one thread.
"""

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fractal_tasks.storage.pixels.chunks import read_pixels
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    box_shape,
    intersect,
    split_box,
    to_slices,
)
from fractal_tasks.storage.plate.levels import spacing_of, spatial_shape
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.transforms.boxes import PixelBox

if TYPE_CHECKING:
    import zarr

MAX_KEPT_BYTES = 2**27
"""Decoded pixels kept for an image: 12 fields of 2304 x 2304 px, 16 bit, at level 0."""


class DecodedCells:
    """Decoded cells of the patches of one image, up to a number of bytes in all.

    A cell is the part of a chunk (of a shard: of an inner chunk) that lies in the ROI.
    """

    def __init__(self, max_bytes: int) -> None:
        """Start with nothing; with `max_bytes` 0 nothing is ever kept."""
        self.max_bytes = max_bytes
        self._used_bytes = 0
        self._cells: OrderedDict[tuple[int, Box], Pixels] = OrderedDict()
        """By patch and box in the array; the least recently used first."""

    @property
    def used_bytes(self) -> int:
        """Bytes of all cells that are kept."""
        return self._used_bytes

    def get(self, patch: int, cell: Box) -> Pixels | None:
        """Give the pixels of a cell if they are kept."""
        pixels = self._cells.get((patch, cell))
        if pixels is not None:
            self._cells.move_to_end((patch, cell))
        return pixels

    def put(self, patch: int, cell: Box, pixels: Pixels) -> None:
        """Keep a new cell, instead of those least recently used if need be."""
        while self._cells and self._used_bytes + pixels.nbytes > self.max_bytes:
            _, oldest = self._cells.popitem(last=False)
            self._used_bytes -= oldest.nbytes
        self._cells[patch, cell] = pixels
        self._used_bytes += pixels.nbytes

    def discard(self, patch: int) -> None:
        """Forget the cells of a patch."""
        for key in [key for key in self._cells if key[0] == patch]:
            self._used_bytes -= self._cells.pop(key).nbytes


@dataclass(frozen=True, eq=False)
class RoiPatch:
    """A ROI of one channel at one level; reads its pixels from disk on demand.

    Fulfils `fractal_tasks.registration.patch.Patch`. What was decoded is kept until
    the patch is released or nothing refers to it any more, or until `kept` is full.
    """

    array: "zarr.Array[Any]"
    leading: tuple[int, ...]
    """Index of every axis before the spatial ones (timepoint, channel)."""

    origin: tuple[int, ...]
    """First pixel of the ROI along the spatial axes of the array."""

    shape: tuple[int, ...]
    spacing_um: tuple[float, ...]
    where: str = ""
    """Names the ROI in errors."""

    kept: DecodedCells = field(
        default_factory=lambda: DecodedCells(MAX_KEPT_BYTES), repr=False
    )
    """Shared by all patches of an image: the limit holds for all of them together."""

    def __post_init__(self) -> None:
        """Arrange that the cells go with the patch."""
        # The id is that of no other patch as long as this one lives.
        weakref.finalize(self, self.kept.discard, id(self)).atexit = False

    def read(self, box: tuple[slice, ...]) -> npt.NDArray[np.float32]:
        """Read the pixels of `box`, which lies inside `shape`, as float32.

        Raises:
            InvalidDataError: A chunk is damaged or cannot be read.
        """
        wanted = tuple(
            range(first + part.start, first + part.stop)
            for first, part in zip(self.origin, box, strict=True)
        )
        pixels = np.empty(box_shape(wanted), np.float32)
        missing = []
        room = self.kept.max_bytes
        for cell in self._cells_around(wanted):
            values = self.kept.get(id(self), cell)
            if values is None:
                missing.append(cell)
            else:
                room -= values.nbytes
                _copy(values, cell, pixels, wanted)
        # A read never throws out cells of its own: where they do not all fit, the
        # same read would otherwise find nothing of them the next time.
        fitting = self._count_fitting(missing, room)
        for block in _join_boxes(missing[:fitting]):
            self._fill_and_keep(block, pixels, wanted)
        rest = [intersect(cell, wanted) for cell in missing[fitting:]]
        for block in _join_boxes(rest):
            _copy(self._decode(block), block, pixels, wanted)
        return pixels

    def release(self) -> None:
        """Forget what was decoded; a later read decodes it again."""
        self.kept.discard(id(self))

    @property
    def _chunks(self) -> tuple[int, ...]:
        """Shape of a chunk along the spatial axes; of a shard, of an inner chunk."""
        return self.array.chunks[len(self.leading) :]

    def _cells_around(self, wanted: Box) -> list[Box]:
        """Find the cells that hold `wanted`, cut at the border of the ROI."""
        if not all(wanted):
            return []
        ends = np.add(self.origin, self.shape).tolist()
        outer = tuple(
            range(
                max(side.start // chunk * chunk, first),
                min(-(-side.stop // chunk) * chunk, end),
            )
            for side, chunk, first, end in zip(
                wanted, self._chunks, self.origin, ends, strict=True
            )
        )
        return list(split_box(outer, self._chunks))

    def _count_fitting(self, cells: Sequence[Box], room: int) -> int:
        """Count the cells, from the first one, that have at most `room` bytes."""
        sizes = [np.prod(box_shape(cell), dtype=np.int64) for cell in cells]
        total = np.cumsum(sizes, dtype=np.int64) * self.array.dtype.itemsize
        return int(np.searchsorted(total, room, side="right"))

    def _fill_and_keep(
        self, block: Box, pixels: npt.NDArray[np.float32], wanted: Box
    ) -> None:
        """Decode whole cells in one read, which zarr does side by side."""
        values = self._decode(block)
        for cell in split_box(block, self._chunks):
            part = values[to_slices(cell, block)]
            _copy(part, cell, pixels, wanted)
            # A view of some of the block would keep all of it in memory.
            self.kept.put(id(self), cell, part if cell == block else part.copy())

    def _decode(self, block: Box) -> Pixels:
        return read_pixels(self.array, self.leading + to_slices(block), self.where)


def channel_pyramid(image: OpenImage, channel: int) -> list[RoiPatch]:
    """Give the whole image of one channel as patches of all levels, finest first.

    They, and all ROIs taken from them, together keep at most `MAX_KEPT_BYTES`.
    """
    kept = DecodedCells(MAX_KEPT_BYTES)
    return [
        _whole_level(image, path, channel, kept) for path in image.container.level_paths
    ]


def _whole_level(
    image: OpenImage, path: str, channel: int, kept: DecodedCells
) -> RoiPatch:
    level = image.container.get_image(path=path)
    ndim = 3 if "z" in level.axes else 2
    index = {"t": 0, "c": channel}
    return RoiPatch(
        array=level.zarr_array,
        leading=tuple(index[axis] for axis in level.axes if axis in index),
        origin=(0,) * ndim,
        shape=spatial_shape(level)[-ndim:],
        spacing_um=spacing_of(level, image.unit_um)[-ndim:],
        kept=kept,
    )


def roi_pyramid(
    levels: Sequence[RoiPatch], roi_px: PixelBox, where: str
) -> list[RoiPatch]:
    """Give a ROI as patches of all levels, finest first.

    Make it once per ROI and drop it when the ROI is done: two pyramids of one ROI do
    not share what they decode.

    Args:
        levels: The whole image, from `channel_pyramid`.
        roi_px: The ROI in pixels of level 0.
        where: Names the ROI in errors.
    """
    ndim = len(levels[0].shape)
    start_um = np.multiply(roi_px.start[-ndim:], levels[0].spacing_um)
    length_um = np.multiply(roi_px.shape[-ndim:], levels[0].spacing_um)
    patches = []
    for level in levels:
        start, length = (
            np.floor(np.divide(values, level.spacing_um) + 0.5).astype(int)
            for values in (start_um, length_um)
        )
        shape = np.minimum(length, np.subtract(level.shape, start))
        if shape.min() <= 0:
            break
        origin, size = tuple(start.tolist()), tuple(shape.tolist())
        patches.append(replace(level, origin=origin, shape=size, where=where))
    return patches


def _copy(
    values: Pixels, box: Box, pixels: npt.NDArray[np.float32], wanted: Box
) -> None:
    """Copy what `values` of `box` has of `wanted` to its place in `pixels`."""
    common = intersect(box, wanted)
    pixels[to_slices(common, wanted)] = values[to_slices(common, box)]


def _join_boxes(boxes: Sequence[Box]) -> list[Box]:
    """Join neighbours to larger boxes; those that fill a box give just that one.

    Args:
        boxes: Cells of a grid or what is left of them, in the order of the grid.
    """
    joined = list(boxes)
    for axis in reversed(range(len(joined[0]) if joined else 0)):
        latest: dict[Box, int] = {}  # by the other sides: the place in `runs`
        runs: list[Box] = []
        for box in joined:
            before, side, after = box[:axis], box[axis], box[axis + 1 :]
            place = latest.get(before + after)
            if place is not None and runs[place][axis].stop == side.start:
                longer = range(runs[place][axis].start, side.stop)
                runs[place] = (*before, longer, *after)
            else:
                latest[before + after] = len(runs)
                runs.append(box)
        joined = runs
    return joined
