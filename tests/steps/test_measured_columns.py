"""Which columns of measurements hold for another image."""

import pytest

from fractal_tasks.steps.measured_columns import list_outdated
from fractal_tasks.transforms import Affine, Transform, Translation, plane_matrix
from tests.transforms.test_warp import make_warp

TURN = Affine.of(plane_matrix(turn_rad=0.1), (0.0, 1.0, 2.0))
WIDER = Affine.of(plane_matrix(turn_rad=0.0, scale=1.1), (0.0, 1.0, 2.0))

COLUMNS = {
    "place": ["bbox-2", "y", "weighted_centroid-1", "ROI_center_x", "x_micrometer"],
    "direction": ["orientation", "inertia_tensor-0-1", "moments-1-1", "feret_angle"],
    "size": [
        "size_px",
        "area",
        "Volume_um3",
        "axis_major_length",
        "equivalent_diameter_area",
    ],
    "value": ["label", "mean_intensity_DAPI", "eccentricity", "solidity", "max_GFP"],
}


@pytest.mark.parametrize(
    ("transforms", "kinds"),
    [
        ([], ["place"]),
        ([Translation((0.0, 1.0, 2.0))], ["place"]),
        ([TURN], ["place", "direction"]),
        ([Translation((0.0, 1.0, 2.0)), WIDER], ["place", "direction", "size"]),
        ([make_warp()], ["place", "direction", "size"]),
    ],
    ids=["nothing", "moved", "turned", "grown", "bent"],
)
def test_what_holds_depends_on_what_was_done(
    transforms: list[Transform], kinds: list[str]
) -> None:
    columns = [name for names in COLUMNS.values() for name in names]
    expected = [name for kind in kinds for name in COLUMNS[kind]]
    assert list_outdated(columns, [], transforms) == expected
