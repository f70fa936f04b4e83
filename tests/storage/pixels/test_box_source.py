"""Copying boxes of one array to another, against brute force."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.pixels.boxes import BoxCopy
from fractal_tasks.storage.pixels.downsample import halve
from tests.storage.pixels.arrays import (
    CountingStore,
    assert_pyramid,
    box,
    fill_source,
    make_pyramid,
    paste,
    shifted,
    write_copies,
)


def test_later_boxes_win_where_destinations_overlap() -> None:
    source, pixels = fill_source((32, 32), (8, 8))
    pixels[:16] = 0
    source[:16] = 0
    levels = make_pyramid((32, 32), (8, 8))
    copies = [
        BoxCopy(box((16, 32), (0, 32)), box((0, 16), (0, 32))),
        # Zeros, from chunks that are not stored, win as well.
        BoxCopy(box((0, 16), (0, 20)), box((5, 21), (10, 30))),
        BoxCopy(box((16, 19), (1, 9)), box((7, 10), (8, 16))),
    ]

    write_copies(source, levels, copies, downsampling="mean")

    assert_pyramid(levels, paste(pixels, (32, 32), copies))


def test_source_and_target_may_differ_in_spatial_shape() -> None:
    source, pixels = fill_source((2, 20, 30), (1, 7, 9))
    levels = make_pyramid((2, 64, 48), (1, 16, 16))
    copies = [BoxCopy(box((0, 20), (0, 30)), box((44, 64), (18, 48)))]

    write_copies(source, levels, copies, downsampling="mean")

    assert_pyramid(levels, paste(pixels, (2, 64, 48), copies))


@pytest.mark.parametrize("fill_value", [7, np.nan])
def test_pixels_in_no_box_get_the_fill_value_on_all_levels(fill_value: float) -> None:
    source, pixels = fill_source((32, 32), (8, 8), "float32")
    levels = make_pyramid((32, 32), (8, 8), dtype="float32")
    copies = [shifted([(0, 9), (0, 9)], (2, 2))]

    write_copies(source, levels, copies, downsampling="mean", fill_value=fill_value)

    expected = paste(pixels, (32, 32), copies, fill_value)
    np.testing.assert_array_equal(levels[0][...], expected)
    for level in levels[1:]:
        expected = halve(expected, (2, 2), "mean")
        np.testing.assert_array_equal(level[...], expected)
        assert np.array_equal(level[-1, -1], fill_value, equal_nan=True)


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
def test_any_boxes_chunks_and_workers_give_the_pasted_pixels(
    data: st.DataObject,
) -> None:
    size = st.integers(1, 12).map(lambda n: 4 * n)
    shape = (2, data.draw(size), data.draw(size))
    chunk = st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 20))
    source, pixels = fill_source(shape, tuple(map(min, data.draw(chunk), shape)))
    levels = make_pyramid(shape, data.draw(chunk))

    def draw_copy() -> BoxCopy:
        sides = [data.draw(st.integers(0, n)) for n in shape[1:]]
        return BoxCopy(
            *(
                box(
                    *(
                        (start, start + side)
                        for start, side in (
                            (data.draw(st.integers(0, n - side)), side)
                            for n, side in zip(shape[1:], sides, strict=True)
                        )
                    )
                )
                for _ in range(2)
            )
        )

    copies = [draw_copy() for _ in range(data.draw(st.integers(0, 3)))]

    write_copies(
        source,
        levels,
        copies,
        downsampling="mean",
        max_workers=data.draw(st.integers(1, 4)),
    )

    assert_pyramid(levels, paste(pixels, shape, copies))


def test_nothing_is_written_without_boxes_or_without_pixels() -> None:
    source, _ = fill_source((32, 32), (8, 8))
    empty_source = make_pyramid((32, 32), (8, 8), n_levels=1)[0]
    whole = shifted([(0, 32), (0, 32)], (0, 0))
    for array, copies in (
        (source, []),
        (source, [shifted([(4, 4), (0, 32)], (1, 0))]),
        (empty_source, [whole]),
    ):
        store = CountingStore()
        levels = make_pyramid((32, 32), (8, 8), store=store)
        store.writes.clear()

        write_copies(array, levels, copies, downsampling="mean")

        assert not store.writes


@pytest.mark.parametrize(
    ("shift", "most_reads"),
    [
        # One chunk for each block.
        pytest.param(0, 16, id="whole_chunks"),
        # 4 x 4 blocks that touch up to 2 x 2 chunks each: 7 x 7 reads if none were
        # remembered.
        pytest.param(5, 20, id="shifted"),
    ],
)
def test_source_chunks_are_read_about_once(shift: int, most_reads: int) -> None:
    store = CountingStore()
    source, _ = fill_source((64, 64), (16, 16), store=store)
    levels = make_pyramid((64, 64), (16, 16))
    store.reads.clear()
    side = (0, 64 - shift)

    write_copies(
        source,
        levels,
        [shifted([side, side], (shift, shift))],
        downsampling="mean",
        max_workers=1,
    )

    assert 16 <= store.reads.total() <= most_reads


@pytest.mark.parametrize(
    ("copy", "message"),
    [
        (BoxCopy(box((0, 4), (0, 4)), box((0, 4), (0, 5))), "must be the same"),
        (BoxCopy(box((-1, 3), (0, 4)), box((0, 4), (0, 4))), "reaches out"),
        (BoxCopy(box((0, 4), (0, 4)), box((0, 4), (13, 17))), "reaches out"),
    ],
)
def test_boxes_that_do_not_fit_are_refused_before_anything_is_written(
    copy: BoxCopy, message: str
) -> None:
    source, _ = fill_source((2, 16, 16), (1, 8, 8))
    levels = make_pyramid((2, 16, 16), (1, 8, 8))
    good = shifted([(0, 16), (0, 16)], (0, 0))

    with pytest.raises(InvalidInputError, match=message):
        write_copies(source, levels, [good, copy], downsampling="mean")

    assert not levels[0][...].any()


@pytest.mark.parametrize(
    ("shape", "message"),
    [((16, 16), "2 in the shape"), ((3, 16, 16), "must be the same")],
)
def test_targets_unlike_the_source_are_refused(
    shape: tuple[int, ...], message: str
) -> None:
    source, _ = fill_source((2, 16, 16), (1, 8, 8))
    levels = make_pyramid(shape, (8,) * len(shape))

    with pytest.raises(InvalidInputError, match=message):
        write_copies(
            source, levels, [shifted([(0, 8), (0, 8)], (1, 1))], downsampling="mean"
        )
