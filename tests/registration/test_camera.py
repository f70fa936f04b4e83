"""Different fields match only if the camera shows itself in them."""

from collections.abc import Callable

import numpy as np
import pytest

from fractal_tasks.registration.camera import shows_camera
from fractal_tasks.registration.patch import ArrayPatch
from tests.registration.test_fixed_pattern import (
    SHAPE,
    Camera,
    Views,
    flawed_camera,
    good_camera,
    uneven_camera,
    view,
)


def asked_of(views: Views, field: int = 0) -> bool:
    own, *others = (
        (views.fixed[index], views.moving[index])
        for index in (field, *(n for n in range(len(views.fixed)) if n != field))
    )
    return shows_camera(own, others)


@pytest.mark.parametrize("camera", [flawed_camera, uneven_camera])
@pytest.mark.parametrize("samples", [[None] * 3, [None, 1, 2, 3], [None, 1]], ids=str)
def test_camera_that_an_empty_field_shows_is_seen(
    camera: Callable[[], Camera], samples: list[int | None]
) -> None:
    assert asked_of(view(camera(), samples))


def test_planes_in_the_middle_of_stacks_are_compared() -> None:
    views = view(uneven_camera(), [None, 1, 2])
    for side in (views.fixed, views.moving):
        side[:] = [
            ArrayPatch(np.stack([0 * one.array, one.array, 0 * one.array]), (1.0, 1, 1))
            for one in side
        ]
    assert asked_of(views)


@pytest.mark.parametrize("shift_px", [(0.0, 0.0), (1.5, -2.0)], ids=str)
def test_cells_that_hardly_moved_and_debris_are_no_camera(
    shift_px: tuple[float, float],
) -> None:
    views = view(good_camera(), range(4), shift_px)
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for patch in views.moving:
        for y, x in rng.uniform(0, SHAPE, (30, 2)):
            distance = ((rows - y) ** 2 + (columns - x) ** 2) / 36
            patch.array[...] += np.float32(30_000) * (distance < 1)
    assert not any(asked_of(views, field) for field in range(4))


def test_fields_without_any_signal_show_none() -> None:
    flat = [ArrayPatch(np.full(SHAPE, 100.0), (0.325, 0.325)) for _ in range(2)]
    assert not asked_of(Views(flat, flat))
