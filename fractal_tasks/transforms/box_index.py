"""Finding boxes that touch others, without comparing each with all."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms.boxes import PixelBox, as_triple


class BoxIndex:
    """Boxes in an order in which those near another one are found at once.

    They are sorted by their first pixel along the axis on which they are spread most.
    A box can only touch one that begins before it ends, and not earlier than the
    longest box reaches: a short run of the sorted ones, which is compared as arrays.
    """

    def __init__(self, boxes: Sequence[PixelBox]) -> None:
        """Sort the boxes; an index found later is the place in this sequence."""
        self._starts = np.array([box.start for box in boxes], dtype=np.int64)
        self._stops = np.array([box.stop for box in boxes], dtype=np.int64)
        self._starts = self._starts.reshape(-1, 3)
        self._stops = self._stops.reshape(-1, 3)
        spread = np.ptp(self._starts, axis=0) if len(boxes) else np.zeros(3)
        self._axis = int(np.argmax(spread))
        self._order = np.argsort(self._starts[:, self._axis], kind="stable")
        self._sorted_starts = self._starts[self._order, self._axis]
        lengths = (self._stops - self._starts)[:, self._axis]
        self._longest = int(lengths.max(initial=0))

    def find_touching(self, box: PixelBox) -> npt.NDArray[np.intp]:
        """Give the indices of the boxes that have a pixel in common with `box`."""
        first, last = np.searchsorted(
            self._sorted_starts,
            [box.start[self._axis] - self._longest, box.stop[self._axis]],
        )
        near = self._order[first:last]
        common = self._common(box, near)
        return np.sort(near[np.all(common > 0, axis=1)])

    def find_most_common(self, box: PixelBox) -> int:
        """Give the index of the box that has most pixels in common with `box`.

        Of several, or where none has any, the one whose centre is nearest.
        """
        best = self.find_touching(box)
        if len(best):
            pixels = np.prod(self._common(box, best), axis=1)
            best = best[pixels == pixels.max()]
        else:
            best = np.arange(len(self._starts))
        apart = self._starts[best] + self._stops[best] - np.add(box.start, box.stop)
        return int(best[np.argmin(np.sum(apart**2, axis=1))])

    def find_overlapping_pairs(self) -> list[tuple[int, int]]:
        """Give each pair of boxes with a pixel in common, the earlier box first."""
        pairs = []
        sides = zip(self._starts, self._stops, strict=True)
        for index, (start, stop) in enumerate(sides):
            touching = self.find_touching(PixelBox(as_triple(start), as_triple(stop)))
            pairs += [(index, other) for other in touching.tolist() if other > index]
        return pairs

    def _common(
        self, box: PixelBox, chosen: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.int64]:
        """Give how many pixels others have in common with `box`, per axis."""
        first = np.maximum(self._starts[chosen], box.start)
        common: npt.NDArray[np.int64] = np.minimum(self._stops[chosen], box.stop)
        common -= first
        return common
