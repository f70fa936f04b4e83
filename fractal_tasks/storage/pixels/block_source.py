"""What gives the pixels of an image that is being written."""

from collections.abc import Iterator
from typing import Protocol

from fractal_tasks.storage.pixels.grid import Box, Pixels


class BlockSource(Protocol):
    """Gives level 0 of a new image or label, block by block.

    Whoever writes asks for each block once, in several threads at a time, and decides
    where blocks begin and end.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels along each axis of the new level 0."""
        ...

    @property
    def fill_value(self) -> float:
        """The value of pixels that come from nowhere."""
        ...

    def find_content(self) -> Iterator[Box]:
        """Give boxes of level 0 outside of which all pixels are `fill_value`.

        They may overlap. Blocks that touch none of them are not asked for.
        """
        ...

    def read_block(self, box: Box) -> Pixels | None:
        """Give the pixels of a box of level 0.

        Args:
            box: In the indices of the new array, inside it.

        Returns:
            An array of the box's shape and of the new array's dtype, which the caller
            may keep and halve but not change; None if all pixels are `fill_value`: it
            then takes neither memory nor time.
        """
        ...
