import pytest

from fractal_tasks.transforms.boxes import PixelBox, box_from_um, round_to_pixels


@pytest.mark.parametrize("start_um", [0.0, 0.3, 0.9, 10.05, -4.4])
def test_boxes_of_one_length_have_one_size_wherever_they_start(start_um: float) -> None:
    box = box_from_um((0, start_um, 0), (1, 50.2, 50.2), (1, 1, 1))
    assert box.shape == (1, 50, 50)


def test_pixels_are_rounded_to_the_nearest() -> None:
    assert round_to_pixels((0.49, -0.49, 1.3), (1.0, 1.0, 0.325)) == (0, 0, 4)
    assert round_to_pixels((0.5, -0.5, 1.5), (1.0, 1.0, 1.0)) == (1, 0, 2)


def test_intersection_of_boxes_that_end_at_zero_is_not_unbounded() -> None:
    first = PixelBox((0, -5, -5), (1, 0, 0))
    second = PixelBox((0, -3, -3), (1, 7, 7))
    assert first.intersection(second) == PixelBox((0, -3, -3), (1, 0, 0))


def test_boxes_apart_have_an_empty_intersection() -> None:
    first = PixelBox((0, 0, 0), (1, 10, 10))
    assert first.intersection(first.shifted((0, 0, 10))).is_empty


def test_box_is_lists_for_errors_and_slices_for_arrays() -> None:
    box = PixelBox((0, -1, 2), (3, 4, 5))
    assert box.to_lists() == [[0, 3], [-1, 4], [2, 5]]
    assert box.size == 3 * 5 * 3
    assert box.slices(2) == (slice(-1, 4), slice(2, 5))
