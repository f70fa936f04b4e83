"""Boxes of a new array whose pixels come from elsewhere in an old one."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.pixels.boxes import (
    BoxCopy,
    BoxPull,
    CopiedBox,
    LazyBlock,
    PulledBox,
)
from fractal_tasks.storage.pixels.chunk_cache import ChunkCache
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    ZarrArray,
    box_shape,
    intersect,
    split_box,
    to_slices,
    write_unit,
)
from fractal_tasks.storage.pixels.stored import stored_cells


class BoxSource:
    """Puts blocks of a new array together from chunks of another.

    Pixels are carried over unchanged, or interpolated; each chunk is read about once.
    """

    def __init__(
        self,
        source: ZarrArray,
        shape: Sequence[int],
        boxes: Sequence[BoxCopy | BoxPull],
        fill_value: float = 0,
        *,
        max_workers: int | None = None,
    ) -> None:
        """Check that everything fits; nothing is read yet.

        Args:
            source: Level 0 of the source. Its axes before the spatial ones have the
                same sizes in the target; the spatial sizes may differ.
            shape: Of level 0 of what is to be written, of the source's dtype.
            boxes: What comes from where. Where destinations overlap, the later one
                wins, as far as it is known.
            fill_value: The value of pixels in no box.
            max_workers: Number of threads that will ask for blocks, as in
                `write_pyramid`.

        Raises:
            InvalidInputError: Source and target do not match, or a box does not lie
                in its array.
        """
        self.fill_value = fill_value
        self._source = source
        self.shape = tuple(shape)
        self._boxes = _check_boxes(source, self.shape, boxes)
        # An array: a well has hundreds of fields, each block touches few of them.
        sides = [[(s.start, s.stop) for s in one.destination] for one in self._boxes]
        self._destinations = np.reshape(np.array(sides, int), (-1, source.ndim, 2))
        self._chunks = ChunkCache(source, fill_value, max_workers=max_workers)

    def find_content(self) -> Iterator[Box]:
        """Give boxes of the target outside of which all pixels are the fill value.

        Those of what is stored of the source, where it comes to lie.
        """
        if self._source.fill_value != self.fill_value:
            yield from (one.destination for one in self._boxes)
            return
        unit = write_unit(self._source)
        stored = {
            tuple(side.start for side in cell): cell
            for cell in stored_cells(self._source)
        }
        for one in self._boxes:
            cells: Iterable[Box] = stored.values()
            n_cells = math.prod(
                (side.stop - 1) // size - side.start // size + 1
                for side, size in zip(one.source, unit, strict=True)
            )
            if n_cells < len(stored):
                # The smaller of both: there may be many boxes, or few huge ones.
                corners = (
                    tuple(
                        side.start // size * size
                        for side, size in zip(part, unit, strict=True)
                    )
                    for part in split_box(one.source, unit)
                )
                cells = (stored[corner] for corner in corners if corner in stored)
            for cell in cells:
                part = intersect(cell, one.source)
                if all(part):
                    yield one.to_destination(part)

    def read_block(self, box: Box) -> Pixels | None:
        """Give the pixels of a box of the target; None if all are the fill value.

        Raises:
            InvalidDataError: A chunk of the source is damaged or cannot be read.
        """
        block = LazyBlock(box_shape(box), self.fill_value)
        for one in self._find_boxes(box):
            for part, pixels, known in one.read(self._chunks, box):
                place = to_slices(part, box)
                if pixels is None:
                    block.clear(place, known)
                else:
                    block.paste(place, pixels, known)
        return block.pixels

    def _find_boxes(self, box: Box) -> list[CopiedBox | PulledBox]:
        """Give what writes into a box, in its order."""
        starts, stops = self._destinations[..., 0], self._destinations[..., 1]
        touching = (starts < [side.stop for side in box]) & (
            stops > [side.start for side in box]
        )
        return [self._boxes[index] for index in np.flatnonzero(touching.all(axis=1))]


def _check_boxes(
    source: ZarrArray, shape: tuple[int, ...], boxes: Sequence[BoxCopy | BoxPull]
) -> list[CopiedBox | PulledBox]:
    """Complete boxes with all axes, and check them; empty ones are left out."""
    if len(shape) != source.ndim:
        raise InvalidInputError(
            f"{source.store_path}: found {source.ndim} axes, and {len(shape)} in the "
            f"shape {shape} of what is made of it; needed is a size for each axis. "
            "Derive the shape from that of the source."
        )
    checked: list[CopiedBox | PulledBox] = []
    for one in boxes:
        box = _to_box(one.source, source.shape)
        destination = _to_box(one.destination, shape)
        _check_inside(box, source.shape, one, source)
        _check_inside(destination, shape, one, source)
        if isinstance(one, BoxPull):
            ndim = len(one.source)
            pull = PulledBox(
                box, destination, one.roi, one.index_map, one.interpolation, ndim
            )
            checked += [pull] if all((*box, *destination)) else []
            continue
        if box_shape(box) != box_shape(destination):
            raise InvalidInputError(
                f"{source.store_path}: {one} has {box_shape(box)} pixels in the "
                f"source and {box_shape(destination)} in the target; both must be the "
                "same. Cut the larger box."
            )
        if all(box):
            checked.append(CopiedBox(box, destination, one.roi))
    return checked


def _check_inside(
    box: Box, shape: tuple[int, ...], what: BoxCopy | BoxPull, source: ZarrArray
) -> None:
    if any(
        side.start < 0 or side.stop > size
        for side, size in zip(box, shape, strict=True)
    ):
        raise InvalidInputError(
            f"{source.store_path}: {what} reaches out of an array of {shape} "
            "pixels. Cut the box at the border."
        )


def _to_box(slices: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    """Complete the slices of the spatial axes with all of the axes before."""
    leading = shape[: len(shape) - len(slices)]
    return (
        *(range(size) for size in leading),
        *(range(part.start, part.stop) for part in slices),
    )
