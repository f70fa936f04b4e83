"""Units and translations as they are stored."""

import copy
from typing import Any, get_args

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import LengthUnit
from fractal_tasks.model.grid import Grid
from fractal_tasks.storage.plate.multiscale import (
    Multiscale,
    as_um,
    with_origins,
    with_unit,
)

ONE = (1.0, 1.0, 1.0)


def document(
    units: dict[str, str], steps: list[list[dict[str, Any]]], **outer: Any
) -> dict[str, Any]:
    """Give the attributes of an image with axes c, y, x."""
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}]
    for name in "yx":
        unit = {"unit": units[name]} if name in units else {}
        axes.append({"name": name, "type": "space", **unit})
    datasets = [
        {"path": str(path), "coordinateTransformations": one}
        for path, one in enumerate(steps)
    ]
    return {"multiscales": [{"axes": axes, "datasets": datasets, **outer}]}


def scale(*values: float) -> dict[str, Any]:
    return {"type": "scale", "scale": list(values)}


def move(*values: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(values)}


@pytest.mark.parametrize(
    ("unit", "um"),
    [("micrometer", 1), ("nm", 0.001), ("millimetre", 1000), ("angstrom", 1e-4)],
)
def test_unit_is_that_of_the_axes(unit: str, um: float) -> None:
    image = Multiscale.of(document({"y": unit, "x": unit}, [[scale(1, 1, 1)]]))
    assert image.units_um(ONE, "image") == (1.0, um, um)


def test_axis_without_unit_has_that_of_the_other() -> None:
    image = Multiscale.of(document({"x": "nanometer"}, [[scale(1, 1, 1)]]))
    assert image.units_um(ONE, "image") == (1.0, 0.001, 0.001)


def test_without_any_unit_the_caller_says_it() -> None:
    image = Multiscale.of(document({}, [[scale(1, 1, 1)]]))
    assert not image.has_unit
    # An axis that is not there is one pixel of 1 um.
    assert image.units_um((7.0, 8.0, 9.0), "image") == (1.0, 8.0, 9.0)


def test_every_unit_that_can_be_given_is_known() -> None:
    for unit in get_args(LengthUnit):
        stored = Multiscale.of(document({"y": unit, "x": unit}, [[scale(1, 1, 1)]]))
        assert stored.units_um(ONE, "image")[1:] == as_um(unit)[1:]


def test_unit_is_written_where_there_is_none() -> None:
    without = document({}, [[scale(1, 1, 1)]])
    before = copy.deepcopy(without)
    written = with_unit(without, "nanometer")
    assert Multiscale.of(written).units_um(ONE, "image") == (1.0, 0.001, 0.001)
    assert "unit" not in written["multiscales"][0]["axes"][0]
    assert without == before
    partly = document({"x": "millimeter"}, [[scale(1, 1, 1)]])
    assert with_unit(partly, "nanometer") == partly


def test_other_units_are_refused() -> None:
    image = Multiscale.of(document({"y": "pixel", "x": "pixel"}, [[scale(1, 1, 1)]]))
    with pytest.raises(InvalidDataError, match=r"image: .*'pixel'"):
        image.units_um(ONE, "image")


def test_transformations_of_the_pyramid_come_after_those_of_the_level() -> None:
    outer = [scale(1, 2, 3), move(0, 10, 20)]
    steps = [[scale(1, 0.5, 0.5), move(0, 4, 6)]]
    image = Multiscale.of(document({}, steps, coordinateTransformations=outer))
    # A pixel at y = i lies at 2 (0.5 i + 4) + 10.
    assert image.levels() == {"0": ([1.0, 1.0, 1.5], [0.0, 18.0, 38.0])}


def test_levels_get_one_scale_and_the_translation_that_is_wanted() -> None:
    outer = [scale(1, 2, 2), move(0, 10, 20)]
    steps = [[scale(1, 0.5, 0.5)], [scale(1, 1, 1), move(5, 0, 0)]]
    before = document({}, steps, coordinateTransformations=outer)
    after = with_origins(before, lambda um: (0.0, um[1], -um[2]), (1.0, 10.0, 10.0))
    (multiscale,) = after["multiscales"]
    assert "coordinateTransformations" not in multiscale
    # In the unit of the image, 10 um; what is not space stays.
    assert [level["coordinateTransformations"] for level in multiscale["datasets"]] == [
        [scale(1, 1, 1), move(0, 1, -1)],
        [scale(1, 2, 2), move(5, 2, -2)],
    ]
    assert before["multiscales"][0]["coordinateTransformations"] == outer


def test_translations_grow_with_the_pixels_as_those_of_the_reference_do() -> None:
    centres = Grid((1, 9, 9), (1.0, 0.5, 0.5), (0.0, 3.0, 4.0), (0.0, 0.5, 0.5))
    assert centres.origin_of((1.0, 1.0, 2.0)) == (0.0, 3.25, 4.75)


@pytest.mark.parametrize(("planes", "expected"), [(1, 1), (4, 4), (7, 4)])
def test_registered_grid_has_the_planes_that_can_be_compared(
    planes: int, expected: int
) -> None:
    reference = Grid((4, 10, 11), ONE, (1.0, 2.0, 3.0))
    own = Grid((planes, 7, 30), (1.0, 2.0, 1.0), (9.0, 9.0, 9.0))
    registered = own.registered_to(reference)
    assert registered.shape == (expected, 5, 11)
    assert registered.origin_um == (9.0 if planes == 1 else 1.0, 2.0, 3.0)
    assert np.all(np.equal(registered.spacing_um, own.spacing_um))
