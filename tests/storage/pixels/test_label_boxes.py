import warnings
from pathlib import Path

import numpy as np
import pytest
from ngio import create_ome_zarr_from_array

from fractal_tasks.storage.pixels.label_boxes import build_masking_rois


@pytest.mark.parametrize("offset", [0, 2**40], ids=["small ids", "64-bit ids"])
@pytest.mark.parametrize("shape", [(1, 90, 70), (5, 90, 70)], ids=["plane", "stack"])
def test_boxes_are_those_of_brute_force(
    tmp_path: Path, shape: tuple[int, int, int], offset: int
) -> None:
    rng = np.random.default_rng(1)
    pixels = np.zeros(shape, dtype="uint64")
    for object_id in range(1, 20):
        z, y, x = (int(rng.integers(0, size)) for size in shape)
        pixels[z : z + 2, y : y + 15, x : x + 9] = object_id + offset
    image = create_ome_zarr_from_array(
        str(tmp_path / "i.zarr"),
        np.zeros(shape, dtype="uint8"),
        pixelsize=0.5,
        z_spacing=2.0,
        levels=1,
        axes_names="zyx",
        ngff_version="0.4",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        label = image.derive_label("cells", dtype="uint64", chunks=(1, 32, 32))
    label.set_array(pixels)
    rois = build_masking_rois(label, (2.0, 0.5, 0.5))
    assert [roi.label for roi in rois] == sorted(set(np.unique(pixels).tolist()) - {0})
    for roi in rois:
        where = np.nonzero(pixels == roi.label)
        for axis, index, step in zip("zyx", where, (2.0, 0.5, 0.5), strict=True):
            assert roi[axis].start == index.min() * step
            assert roi[axis].length == (index.max() + 1 - index.min()) * step
