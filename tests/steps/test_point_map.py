"""Points go where pixels go."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fractal_tasks as ft
from fractal_tasks.errors import InvalidInputError, MissingStepError
from fractal_tasks.steps.point_map import PointMap
from fractal_tasks.synthetic import load_truth
from tests.conftest import MakePlate
from tests.tasks.plates import REGISTERED, WELL, image_urls, run_apply
from tests.tasks.test_turned_plates import PIXEL_UM, TURNED, calculate, judge

SIZE_UM = 384 * PIXEL_UM


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    return make_plate(**TURNED, then=[calculate, judge])


def middles_um(field: int) -> npt.NDArray[Any]:
    """Give points in the middle of a field, y and x."""
    row, column = divmod(field, 2)
    inner = np.linspace(0.3, 0.7, 4) * SIZE_UM
    y, x = np.meshgrid(inner + row * SIZE_UM, inner + column * SIZE_UM)
    return np.stack([y.ravel(), x.ravel()], axis=1)


def true_um(plate: Path, points_um: npt.NDArray[Any], field: int) -> npt.NDArray[Any]:
    matrix = np.array(load_truth(plate).field(WELL, 1, f"FOV_{field + 1}").matrix)
    in_space = np.column_stack([np.full(len(points_um), 0.5), points_um])
    return np.asarray(in_space @ matrix[:, :3].T + matrix[:, 3])[:, 1:]


@pytest.mark.parametrize("when", ["judged", "beside", "in place"])
@pytest.mark.sampled(3)
def test_points_go_where_the_truth_has_them_and_back(plate: Path, when: str) -> None:
    url = image_urls(plate, 2)[1]
    if when != "judged":
        run_apply(image_urls(plate, 2), overwrite_input=when == "in place")
    for image in {url, url + ("_registered" if when == "beside" else "")}:
        found = ft.point_map(image)
        for field in range(4):
            points = middles_um(field)
            mapped = found.to_reference(points)
            assert set(mapped.rois) == {f"FOV_{field + 1}"}
            off_px = (mapped.points_um - true_um(plate, points, field)) / PIXEL_UM
            assert np.abs(off_px).max() < 0.3
            back = found.to_acquisition(mapped.points_um)
            assert back.rois == mapped.rois
            np.testing.assert_allclose(back.points_um, points, atol=1e-9)


def test_places_that_apply_cropped_are_marked(plate: Path) -> None:
    """Of a field that is interpolated the corners of what is read are not kept."""
    url = image_urls(plate, 2)[1]
    run_apply(image_urls(plate, 2))
    found = ft.point_map(url)
    (first, last), kept = found.acquisition_um["FOV_1"], found.reference_um["FOV_1"]
    sides = np.linspace(first[1:] + 0.05, last[1:] - 0.05, 40)
    points = np.array([(y, x) for y in sides[:, 0] for x in sides[:, 1]])
    mapped = found.to_reference(points)
    inside = (mapped.points_um >= kept[0, 1:]) & (mapped.points_um < kept[1, 1:])
    assert set(mapped.rois) == {"FOV_1"}
    assert np.array_equal(mapped.is_seen, inside.all(axis=1))
    assert not mapped.is_seen.all()
    assert mapped.is_seen[len(points) // 2 + 20]


def test_whole_rois_are_mapped_while_the_input_is_there(plate: Path) -> None:
    """At the border of a field lies what is not kept of it."""
    url = image_urls(plate, 2)[1]
    border = [[SIZE_UM - 0.1, SIZE_UM / 2], [-0.1, 5.0]]
    assert ft.point_map(url).to_reference(border).rois == ("FOV_1", None)
    run_apply(image_urls(plate, 2), overwrite_input=False)
    beside = ft.point_map(f"{url}_registered")
    assert beside.to_reference(border).rois == ("FOV_1", None)
    assert np.isnan(beside.to_reference(border).points_um[1]).all()


def test_image_that_was_not_judged_is_a_missing_step(make_plate: MakePlate) -> None:
    url = image_urls(make_plate(), 2)[1]
    with pytest.raises(MissingStepError, match=f"needed is.*{REGISTERED}"):
        ft.point_map(url)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 1)])
def test_points_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match=r"needed is one of \(n, 3\)"):
        PointMap({}, {}, {}).to_reference(np.zeros(shape))
