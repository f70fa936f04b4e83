"""Whatever the metadata of a plate hold, a task ends well or with an error of ours."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ngio import open_ome_zarr_container

from fractal_tasks.discovery import discover_images, find_work
from tests.properties.harness import Sandbox, snapshot
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    image_urls,
    make_registered_plate,
    read_pixels,
    run_apply,
    run_calculate,
    run_consensus,
)

Edit = Callable[[Any], object]
Task = Callable[[list[str]], None]
Keys = tuple[str | int, ...]

# What libraries remark on damaged files is not the matter.
pytestmark = pytest.mark.filterwarnings("ignore")

JUNK = st.sampled_from(
    [
        None,
        0,
        -1,
        1.5,
        True,
        "",
        "0",
        "..",
        "../../x",
        "/etc",
        "a/b",
        [],
        {},
        [None],
        [[]],
        {"a": 1},
        float("nan"),
        float("inf"),
        1e300,
        2**70,
        "\0",
        "ü\n",
        "x" * 300,
    ]
)


def discover(urls: list[str]) -> None:
    plate = urls[0].rsplit("/", 3)[0]
    find_work(discover_images([plate]), 0)


def calculate(urls: list[str]) -> None:
    run_calculate(urls, level_path="0")


def consensus(urls: list[str]) -> None:
    run_consensus(urls, keep="reference", fill_value=7, registered_roi_table="new")


def apply(urls: list[str]) -> None:
    run_apply(urls[1:], overwrite_input=False)


TASKS = [discover, calculate, consensus, apply]


def nodes_of(document: Any, keys: Keys = ()) -> Iterator[Keys]:
    yield keys
    if isinstance(document, dict):
        for key, value in document.items():
            yield from nodes_of(value, (*keys, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from nodes_of(value, (*keys, index))


@st.composite
def changes(draw: st.DrawFn, document: Any) -> Any:
    """Change one node of a JSON document: junk, gone, or twice."""
    document = copy.deepcopy(document)
    keys = draw(st.sampled_from(list(nodes_of(document))))
    if not keys:
        return draw(JUNK)
    *parents, key = keys
    place = document
    for parent in parents:
        place = place[parent]
    change = draw(st.sampled_from(["junk", "junk", "remove", "repeat"]))
    if change == "junk":
        place[key] = draw(JUNK)
    elif change == "remove":
        del place[key]
    elif isinstance(place, list):
        place.append(place[key])
    else:
        place[f"{key}x"] = place[key]
    return document


@pytest.mark.parametrize("task", TASKS)
@given(data=st.data())
@pytest.mark.sampled(2)
def test_changed_metadata_end_in_a_result_or_in_an_error_of_ours(
    sandbox: Sandbox, task: Task, data: st.DataObject
) -> None:
    file = data.draw(st.sampled_from(sandbox.json_files()))
    document = data.draw(changes(sandbox.read_json(file)))
    try:
        sandbox.write_json(file, document)
        sandbox.run(lambda: task(sandbox.urls))
    finally:
        sandbox.restore()


def images_of(well: Any) -> list[dict[str, Any]]:
    return well.get("ome", well)["well"]["images"]


def datasets_of(image: Any) -> list[dict[str, Any]]:
    return image.get("ome", image)["multiscales"][0]["datasets"]


def plan_of(table: Any) -> dict[str, Any]:
    return table["registration"]


def placement_of(table: Any) -> dict[str, Any]:
    return plan_of(table)["placements"][0]


def reference_table_of(table: Any) -> dict[str, Any]:
    return plan_of(table)["reference_tables"]["well_ROI_table"]


WELL, IMAGE = "A/01", "A/01/1"
PLAN = f"{IMAGE}/tables/{REGISTERED}"
ALL: list[Task] = [consensus, apply]
DAMAGE: dict[str, tuple[str, Edit, str, list[Task]]] = {
    "no acquisition": (
        WELL,
        lambda well: images_of(well)[1].pop("acquisition"),
        "with an acquisition",
        ALL,
    ),
    "no images": (
        WELL,
        lambda well: images_of(well).clear(),
        "with an acquisition",
        ALL,
    ),
    "listed but absent": (
        WELL,
        lambda well: images_of(well)[1].update(path="7"),
        "with an acquisition",
        ALL,
    ),
    "no transformations": (
        IMAGE,
        lambda image: datasets_of(image)[0].pop("coordinateTransformations"),
        "coordinateTransformations",
        ALL,
    ),
    "pixels of no size": (
        IMAGE,
        lambda image: datasets_of(image)[0].update(
            coordinateTransformations=[
                {"type": "scale", "scale": [0.0] * len(axes_of(image))}
            ]
        ),
        "has the scale",
        ALL,
    ),
    "missing level": (
        IMAGE,
        lambda image: datasets_of(image)[1].update(path="9"),
        "9",
        ALL,
    ),
    "damaged coarse level": (
        f"{IMAGE}/2",
        lambda array: array.update(shape="junk"),
        "junk",
        ALL,
    ),
    "damaged fill value": (
        f"{IMAGE}/0",
        lambda array: array.update(fill_value="/etc"),
        "/etc",
        ALL,
    ),
    "damaged list of tables": (
        f"{IMAGE}/tables",
        lambda group: group.update(tables=7),
        "tables",
        ALL,
    ),
    "table of unknown type": (
        f"{IMAGE}/tables/{TABLE}",
        lambda table: table.update(type=7),
        "ROI table",
        [calculate, consensus],
    ),
    "damaged list of labels": (
        f"{IMAGE}/labels",
        lambda group: group.get("ome", group).update(labels=7),
        "labels",
        [apply],
    ),
    "damaged label": (
        f"{IMAGE}/labels/nuclei",
        lambda label: datasets_of(label)[1].update(coordinateTransformations=[]),
        "'nuclei'",
        [apply],
    ),
    "damaged measurements": (
        f"{IMAGE}/tables/nuclei_features",
        lambda table: table.update(backend=0),
        "'nuclei_features'",
        [apply],
    ),
    "half a pixel in the plan": (
        PLAN,
        lambda table: placement_of(table)["source"].update(stop=[1, 9.5, 9]),
        "plan",
        [apply],
    ),
    "sizes that differ in the plan": (
        PLAN,
        lambda table: placement_of(table)["source"]["stop"].__setitem__(1, 3),
        "as many",
        [apply],
    ),
    "damaged transform in the plan": (
        PLAN,
        lambda table: placement_of(table).update(transform="[" * 9999),
        "plan",
        [apply],
    ),
    "damaged fill value in the plan": (
        PLAN,
        lambda table: plan_of(table)["settings"].update(
            keep="reference", fill_value="x"
        ),
        "plan",
        [apply],
    ),
    "fill value that is too large": (
        PLAN,
        lambda table: plan_of(table)["settings"].update(
            keep="reference", fill_value=1e300
        ),
        "fill_value",
        [apply],
    ),
    "unknown backend in the plan": (
        PLAN,
        lambda table: reference_table_of(table).update(backend="x"),
        "backend",
        [apply],
    ),
    "endless ROI in the plan": (
        PLAN,
        lambda table: reference_table_of(table)["rois"][0]["slices"][0].update(
            length=1e300
        ),
        "plan",
        [apply],
    ),
    "damaged column in the plan": (
        PLAN,
        lambda table: reference_table_of(table)["rois"][0].update(x_micrometer=[None]),
        "well_ROI_table",
        [apply],
    ),
}


def axes_of(image: Any) -> list[Any]:
    return image.get("ome", image)["multiscales"][0]["axes"]


def metadata_file(sandbox: Sandbox, path: str) -> str:
    names = [f"{path}/{name}" for name in (".zarray", ".zattrs", "zarr.json")]
    return next(name for name in names if name in sandbox.json_files())


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.sampled(3)
def test_damage_is_named(sandbox: Sandbox, damage: str) -> None:
    """All of these came through as errors of libraries, or as wrong pixels."""
    path, edit, expected, tasks = DAMAGE[damage]
    file = metadata_file(sandbox, path)
    document = sandbox.read_json(file)
    is_array = file.endswith(".zarray") or document.get("node_type") == "array"
    edit(document if is_array else document.get("attributes", document))
    try:
        sandbox.write_json(file, document)
        for task in tasks:
            error = sandbox.run(lambda task=task: task(sandbox.urls))
            assert re.search(f"A/01.*{re.escape(expected)}", str(error)), error
    finally:
        sandbox.restore()


@pytest.mark.parametrize("kind", ["labels", "tables"])
def test_what_no_list_names_is_carried_over(sandbox: Sandbox, kind: str) -> None:
    """It was deleted with the old image."""
    name = {"labels": "nuclei", "tables": "nuclei_features"}[kind]
    file = metadata_file(sandbox, f"{IMAGE}/{kind}")
    document = sandbox.read_json(file)
    attributes = document.get("attributes", document)
    attributes.get("ome", attributes)[kind].remove(name)
    folder = sandbox.plate / IMAGE / kind / name
    before = snapshot(folder)
    try:
        sandbox.write_json(file, document)
        assert sandbox.run(lambda: run_apply(sandbox.urls[1:])) is None
        assert snapshot(folder) == before
    finally:
        sandbox.restore()


def test_label_that_is_listed_twice_is_registered_once(sandbox: Sandbox) -> None:
    file = metadata_file(sandbox, f"{IMAGE}/labels")
    document = sandbox.read_json(file)
    attributes = document.get("attributes", document)
    attributes.get("ome", attributes)["labels"] *= 2
    try:
        sandbox.write_json(file, document)
        assert sandbox.run(lambda: apply(sandbox.urls)) is None
        new = open_ome_zarr_container(f"{sandbox.urls[1]}_registered")
        assert new.list_labels() == ["nuclei"]
    finally:
        sandbox.restore()


@pytest.mark.parametrize("axes", ["yx", "zyx", "tczyx"])
@pytest.mark.sampled(2)
def test_all_axes_give_a_registered_image(tmp_path: Path, axes: Any) -> None:
    """An image without channels has no wavelength, so its estimate is given."""
    plate = make_registered_plate(tmp_path / "plate.zarr", axes=axes)
    apply(image_urls(plate, 2))
    before, after = (read_pixels(f"{plate}/A/01/{n}") for n in ("1", "1_registered"))
    assert (after[..., 2:, :] == before[..., :-2, :]).all()
    assert not after[..., :2, :].any()
