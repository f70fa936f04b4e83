"""Interpolated blocks, against the whole image resampled at once by scipy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fractal_tasks.storage.pixels.box_source import BoxSource
from fractal_tasks.storage.pixels.boxes import BoxCopy, BoxPull
from fractal_tasks.storage.pixels.grid import full_box, split_box, to_slices
from fractal_tasks.storage.pixels.interpolate import IndexMap, Interpolation, to_dtype
from tests.storage.pixels.arrays import CountingStore, box, fill_source

SHAPE = (2, 90, 110)
WHOLE = box((0, 90), (0, 110))


def affine_map(seed: int = 0, ndim: int = 2, shift: float = 5.0) -> IndexMap:
    rng = np.random.default_rng(seed)
    matrix = np.eye(ndim) + rng.normal(0, 0.05, (ndim, ndim))
    offset = rng.uniform(-shift, shift, ndim)
    return IndexMap(lambda places: places @ matrix.T + offset)


def waves() -> IndexMap:
    def pull(places: Any) -> Any:
        y, x = places.T
        return places + np.stack([3 * np.sin(x / 9), 2 * np.cos(y / 11)], axis=1)

    def pull_grid(axes: Any) -> Any:
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        return np.moveaxis(pull(grid.reshape(-1, 2)).reshape(grid.shape), -1, 0)

    return IndexMap(pull, pull_grid)


def resample(
    pixels: Any, index_map: IndexMap, shape: tuple[int, ...], order: int
) -> tuple[Any, Any]:
    """Resample whole planes; and say which pixels come from inside their borders."""
    ndim = len(shape)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    pulled = index_map.pull(places.reshape(-1, ndim).astype(float)).T
    size = np.array(pixels.shape[-ndim:])[:, None]
    known = ((pulled >= -0.5) & (pulled <= size - 0.5)).all(axis=0).reshape(shape)
    found = np.empty((*pixels.shape[:-ndim], *shape), pixels.dtype)
    for index in np.ndindex(pixels.shape[:-ndim]):
        if order == 0:
            nearest = np.clip(np.floor(pulled + 0.5).astype(int), 0, size - 1)
            values = pixels[index][tuple(nearest)]
        else:
            values = to_dtype(
                ndimage.map_coordinates(
                    pixels[index].astype(float), pulled, order=order, mode="mirror"
                ),
                pixels.dtype,
            )
        found[index] = values.reshape(shape)
    return found, known


def read_in_blocks(source: BoxSource, blocks: tuple[int, ...], dtype: Any) -> Any:
    found = np.full(source.shape, source.fill_value, dtype)
    for part in split_box(full_box(source.shape), blocks):
        pixels = source.read_block(part)
        if pixels is not None:
            assert pixels.dtype == dtype
            found[to_slices(part)] = pixels
    return found


@pytest.mark.parametrize("index_map", [affine_map(), waves()], ids=["affine", "waves"])
@pytest.mark.parametrize(
    ("how", "order", "off"), [("nearest", 0, 0), ("linear", 1, 1), ("cubic", 3, 1)]
)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_blocks_have_no_seams(
    index_map: IndexMap, how: Interpolation, order: int, off: float, dtype: str
) -> None:
    """Planes are resampled at once with 64 bits here: a half may be rounded either way.

    And the prefilter of cubic splines is cut off.
    """
    source, pixels = fill_source(SHAPE, (1, 40, 30), dtype)
    target = (80, 120)
    blocks = BoxSource(
        source, (2, *target), [BoxPull(WHOLE, box((0, 80), (0, 120)), index_map, how)]
    )
    found = read_in_blocks(blocks, (2, 23, 31), dtype)
    expected, known = resample(pixels, index_map, target, order)
    assert 0.5 < known.mean() < 1
    assert not found[:, ~known].any()
    np.testing.assert_allclose(
        found[:, known].astype(float),
        expected[:, known].astype(float),
        rtol=2e-6,
        atol=off or 1e-9,
    )
    if how != "cubic" and dtype == "uint16":
        assert (found == expected)[:, known].mean() > 0.99


@given(data=st.data())
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
def test_chunks_and_blocks_of_any_size_give_the_same(data: st.DataObject) -> None:
    size = st.integers(3, 40)
    shape = (1, data.draw(size), data.draw(size))
    target = (data.draw(size), data.draw(size))
    chunks = tuple(min(data.draw(st.integers(1, 20)), one) for one in shape)
    source, pixels = fill_source(shape, chunks)
    index_map = affine_map(data.draw(st.integers(0, 99)), shift=60)
    whole = [box((0, side[0]), (0, side[1])) for side in (shape[1:], target)]
    blocks = BoxSource(source, (1, *target), [BoxPull(*whole, index_map, "linear")])
    part = (1, data.draw(st.integers(1, 25)), data.draw(st.integers(1, 25)))
    found = read_in_blocks(blocks, part, "uint16")
    expected, known = resample(pixels, index_map, target, 1)
    # A pixel whose centre lies on a border may be taken to lie on either side of it.
    apart = np.abs(found[:, known].astype(int) - expected[:, known].astype(int))
    assert (apart > 1).sum() <= 0.01 * apart.size
    content = np.zeros(target, bool)
    for one in blocks.find_content():
        content[to_slices(one[1:])] = True
    assert not found[0, ~content].any()


def test_stacks_are_interpolated_along_z_too() -> None:
    source, pixels = fill_source((6, 30, 40), (2, 16, 16), "float32")
    index_map = affine_map(3, ndim=3, shift=1.0)
    whole = box((0, 6), (0, 30), (0, 40))
    blocks = BoxSource(
        source, (6, 30, 40), [BoxPull(whole, whole, index_map, "linear")]
    )
    found = read_in_blocks(blocks, (3, 20, 20), "float32")
    expected, known = resample(pixels, index_map, (6, 30, 40), 1)
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-4, atol=0.01)


def test_ids_of_labels_stay_as_they_are() -> None:
    """Also those that no float holds."""
    source, pixels = fill_source((40, 40), (16, 16), "uint64")
    source[...] = pixels = pixels + np.uint64(2**63)
    index_map = affine_map(1)
    whole = box((0, 40), (0, 40))
    blocks = BoxSource(source, (40, 40), [BoxPull(whole, whole, index_map, "nearest")])
    found = read_in_blocks(blocks, (16, 16), "uint64")
    assert set(np.unique(found)) <= {0, *np.unique(pixels).tolist()}
    expected, known = resample(pixels, index_map, (40, 40), 0)
    np.testing.assert_array_equal(found[known], expected[known])


def test_integers_are_rounded_and_never_wrapped() -> None:
    values = np.array([-3.2, 0.49, 0.51, 254.6, 300.0])
    assert to_dtype(values, np.uint8).tolist() == [0, 0, 1, 255, 255]
    assert to_dtype(values, np.int8).tolist() == [-3, 0, 1, 127, 127]
    assert to_dtype(values, np.float32).tolist() == pytest.approx(values)


def test_what_is_known_of_a_later_box_wins_and_the_rest_of_an_earlier_one_stays() -> (
    None
):
    source, pixels = fill_source((40, 40), (16, 16))
    shift = IndexMap(lambda places: places - [0, 20])
    whole = box((0, 40), (0, 40))
    boxes = [BoxCopy(whole, whole), BoxPull(whole, whole, shift, "linear")]
    found = read_in_blocks(BoxSource(source, (40, 40), boxes), (40, 40), "uint16")
    np.testing.assert_array_equal(found[:, 20:], pixels[:, :20])
    np.testing.assert_array_equal(found[:, :20], pixels[:, :20])


def test_fill_value_of_a_later_box_wins_where_it_is_known() -> None:
    """Nothing is stored there: it is known to be empty, and beyond it nothing is."""
    source, pixels = fill_source((40, 80), (40, 40))
    source[:, 40:] = 0
    left, right = box((0, 40), (0, 40)), box((0, 40), (40, 80))
    shift = IndexMap(lambda places: np.add(places, (0, 50)))
    boxes = [BoxCopy(left, left), BoxPull(right, left, shift, "linear")]
    found = read_in_blocks(BoxSource(source, (40, 40), boxes), (40, 40), "uint16")
    assert not found[:, :30].any()
    np.testing.assert_array_equal(found[:, 30:], pixels[:, 30:40])


def test_chunks_are_read_about_once_whatever_the_number_of_channels() -> None:
    store = CountingStore()
    source, _ = fill_source((3, 128, 128), (1, 32, 32), store=store)
    store.reads.clear()
    whole = box((0, 128), (0, 128))
    blocks = BoxSource(
        source,
        (3, 128, 128),
        [BoxPull(whole, whole, affine_map(2, shift=1), "linear")],
        max_workers=1,
    )
    for channel in range(3):
        for row in range(4):
            part = (range(channel, channel + 1), range(32 * row, 32 * row + 32))
            blocks.read_block((*part, range(128)))
    reads = [count for key, count in store.reads.items() if "/c/" in key or "0/" in key]
    assert sum(reads) <= 2.5 * 3 * 16
