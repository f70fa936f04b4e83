"""The index finds what comparing each box with all would find."""

from itertools import combinations, product

import numpy as np
import pytest

from fractal_tasks.transforms.box_index import BoxIndex
from fractal_tasks.transforms.boxes import PixelBox


def common_pixels(first: PixelBox, second: PixelBox) -> int:
    """Count the pixels of a grid that are in both boxes, one by one along each axis."""
    return int(
        np.prod(
            [
                len(set(range(*one)) & set(range(*other)))
                for one, other in zip(first.to_lists(), second.to_lists(), strict=True)
            ]
        )
    )


def random_boxes(rng: np.random.Generator, kind: str) -> list[PixelBox]:
    """Boxes on two planes, some equal, many that touch; empty ones if asked for."""
    count = int(rng.integers(1, 25))
    spread = {"dense": (2, 12, 12), "long": (2, 100, 4), "empty": (2, 12, 12)}[kind]
    longest = {"dense": (2, 5, 5), "long": (2, 70, 3), "empty": (2, 3, 3)}[kind]
    starts = rng.integers(-2, spread, (count, 3))
    shapes = rng.integers(0 if kind == "empty" else 1, np.add(longest, 1), (count, 3))
    boxes = [
        PixelBox(tuple(start.tolist()), tuple((start + shape).tolist()))
        for start, shape in zip(starts, shapes, strict=True)
    ]
    return boxes + boxes[: count // 4]


CASES = list(product(["dense", "long", "empty"], range(12)))


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_touching_boxes_are_those_of_brute_force(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, kind)
    index = BoxIndex(boxes)
    for box in [*boxes, *random_boxes(rng, kind)]:
        expected = [i for i, other in enumerate(boxes) if common_pixels(box, other) > 0]
        assert index.find_touching(box).tolist() == expected


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_overlapping_pairs_are_those_of_brute_force(kind: str, seed: int) -> None:
    boxes = random_boxes(np.random.default_rng(seed), kind)
    expected = [
        (i, j)
        for i, j in combinations(range(len(boxes)), 2)
        if common_pixels(boxes[i], boxes[j]) > 0
    ]
    assert BoxIndex(boxes).find_overlapping_pairs() == expected


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_most_common_box_is_that_of_brute_force(kind: str, seed: int) -> None:
    """Most pixels; of equals the nearest centre; of equals the first of the list."""
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, kind)
    index = BoxIndex(boxes)

    def rank(box: PixelBox, number: int) -> tuple[int, int, int]:
        other = boxes[number]
        twice_apart = np.add(box.start, box.stop) - np.add(other.start, other.stop)
        return -common_pixels(box, other), int((twice_apart**2).sum()), number

    for box in random_boxes(rng, kind):
        expected = min(range(len(boxes)), key=lambda number: rank(box, number))
        assert index.find_most_common(box) == expected


def test_boxes_side_by_side_have_no_pixel_in_common() -> None:
    left = PixelBox((0, 0, 0), (1, 8, 8))
    index = BoxIndex([left, left.shifted((0, 0, 8)), left.shifted((1, 0, 0))])
    assert index.find_touching(left).tolist() == [0]
    assert index.find_overlapping_pairs() == []


def test_box_in_the_middle_of_two_goes_to_the_first() -> None:
    first = PixelBox((0, 0, 0), (1, 8, 8))
    index = BoxIndex([first.shifted((0, 0, 8)), first])
    assert index.find_most_common(first.shifted((0, 0, 4))) == 0
    assert BoxIndex([first, first]).find_most_common(first) == 0


def test_box_that_touches_none_goes_to_the_nearest() -> None:
    first = PixelBox((0, 0, 0), (1, 8, 8))
    index = BoxIndex([first, first.shifted((0, 0, 20))])
    assert index.find_most_common(first.shifted((0, 40, 19))) == 1


def test_index_without_boxes_finds_none() -> None:
    index = BoxIndex([])
    assert index.find_touching(PixelBox((0, 0, 0), (1, 8, 8))).tolist() == []
    assert index.find_overlapping_pairs() == []
