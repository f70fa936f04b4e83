"""A disk that fails and a process that is killed: the old or the new, and a rerun."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zarr

from fractal_tasks.errors import PublishError
from fractal_tasks.synthetic import create_plate
from fractal_tasks.tasks.apply_registration_to_image import apply_registration_to_image
from fractal_tasks.tasks.calculate_registration import calculate_registration
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus
from tests.conftest import SMALL
from tests.tasks.fault_driver import CHANGES, CREATIONS, Faults
from tests.tasks.plates import (
    REGISTERED,
    WELL,
    image_urls,
    read_table,
    run_consensus,
    set_translations,
    tree_of,
)

Tree = dict[str, bytes]

DRIVER = Path(__file__).with_name("fault_driver.py")
SHIFTS_UM = {"FOV_1": (0.0, 1.3, 0.0), "FOV_2": (0.0, 0.0, 2.6)}
TASKS: dict[str, Callable[..., object]] = {
    "calculate_registration": calculate_registration,
    "find_registration_consensus": find_registration_consensus,
    "apply_registration_to_image": apply_registration_to_image,
}
WELL_URL = f"{{folder}}/plate.zarr/{WELL}"
NEW_TABLE = f"plate.zarr/{WELL}/0/tables/other_registered"
NEW_IMAGE = f"plate.zarr/{WELL}/1_registered"
APPLY = {"zarr_url": f"{WELL_URL}/1", "registered_roi_table": REGISTERED}
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "calculate": (
        "calculate_registration",
        {
            "zarr_url": f"{WELL_URL}/1",
            "init_args": {"reference_zarr_url": f"{WELL_URL}/0"},
            "wavelength_id": "A01_C01",
            "level_path": "1",
        },
    ),
    "consensus": (
        "find_registration_consensus",
        {
            "zarr_url": f"{WELL_URL}/0",
            "init_args": {"zarr_url_list": [f"{WELL_URL}/0", f"{WELL_URL}/1"]},
            "registered_roi_table": "other_registered",
        },
    ),
    "apply": ("apply_registration_to_image", APPLY),
    "apply keeping": (
        "apply_registration_to_image",
        {**APPLY, "overwrite_input": False},
    ),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plate that each of the three tasks can run on next."""
    folder = tmp_path_factory.mktemp("faults") / "prepared"
    options = {"field_size_px": 64, "acquisitions": 2, "channels": 1, "levels": 2}
    plate = create_plate(folder / "plate.zarr", SMALL.model_copy(update=options))
    urls = image_urls(plate, 2)
    set_translations(urls[1], SHIFTS_UM)
    run_consensus(urls)
    return folder


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def undisturbed(
    prepared: Path, faults: Faults
) -> Callable[[str], tuple[Tree, dict[frozenset[str], int]]]:
    """Give what a job makes of the folder, and the writes it takes by kind."""

    @cache
    def run(name: str) -> tuple[Tree, dict[frozenset[str], int]]:
        writes = {}
        for index, events in enumerate((CREATIONS, CHANGES)):
            copy = prepared.with_name(f"{name}-{index}")
            shutil.copytree(prepared, copy)
            with faults.striking(copy, events=events):
                run_job(name, copy)
            writes[events] = faults.writes
        return tree_of(copy), writes

    return run


def run_job(name: str, folder: Path) -> None:
    function, arguments = JOBS[name]
    text = json.dumps(arguments).replace("{folder}", str(folder))
    TASKS[function](**json.loads(text))


def unit_of(path: str, name: str) -> str:
    """What a file is replaced with as a whole: its table or image, or itself."""
    parts = path.split("/")
    in_table = len(parts) > 6 and parts[4] == "tables"
    if name in {"calculate", "consensus"}:
        return "/".join(parts[:6]) if in_table else path
    return "/".join(parts[:4]) if len(parts) > 4 else path


def torn(name: str, old: Tree, new: Tree, found: Tree) -> set[str]:
    """Tables or images that are neither the old nor the new version as a whole."""
    found = {path: data for path, data in found.items() if "/.fractal-" not in path}
    by_unit: dict[str, list[Tree]] = {}
    for index, tree in enumerate((old, new, found)):
        for path, data in tree.items():
            versions = by_unit.setdefault(unit_of(path, name), [{}, {}, {}])
            versions[index][path] = data
    return {unit for unit, (a, b, c) in by_unit.items() if c not in (a, b)}


def hidden(folder: Path) -> list[str]:
    """Workspaces and half-written files that are left anywhere."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith(".fractal-tasks") or path.name.endswith(".partial")
    ]


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize(
    "fraction",
    [
        pytest.param(0.0, id="first", marks=pytest.mark.e2e),
        pytest.param(0.6, id="middle"),
    ],
)
@pytest.mark.sampled(4)
def test_a_full_disk_loses_nothing_and_a_rerun_succeeds(
    prepared: Path,
    tmp_path: Path,
    faults: Faults,
    undisturbed: Callable[[str], tuple[Tree, dict[frozenset[str], int]]],
    name: str,
    fraction: float,
) -> None:
    new, writes = undisturbed(name)
    folder = tmp_path / "folder"
    shutil.copytree(prepared, folder)
    point = round(fraction * writes[CREATIONS])
    with (
        faults.striking(folder, failing(errno.ENOSPC, point), CREATIONS),
        pytest.raises(PublishError, match=r"No space left.*[Cc]heck"),
    ):
        run_job(name, folder)
    assert torn(name, tree_of(prepared), new, tree_of(folder)) == set()
    assert hidden(folder) == []
    run_job(name, folder)
    assert tree_of(folder) == new


@pytest.mark.parametrize(
    ("name", "published"), [("consensus", NEW_TABLE), ("apply keeping", NEW_IMAGE)]
)
@pytest.mark.sampled(2)
def test_a_disk_that_is_full_when_the_new_is_to_be_listed_is_a_clear_error(
    prepared: Path, tmp_path: Path, faults: Faults, name: str, published: str
) -> None:
    folders = [tmp_path / "whole", tmp_path / "struck"]
    for folder in folders:
        shutil.copytree(prepared, folder)
    run_job(name, folders[0])

    def strike(_: int) -> None:
        if (folders[1] / published).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        faults.striking(folders[1], strike, CREATIONS),
        pytest.raises(PublishError, match="is in place, but could not be added"),
    ):
        run_job(name, folders[1])
    run_job(name, folders[1])
    assert tree_of(folders[1]) == tree_of(folders[0])
    assert hidden(folders[1]) == []


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.sampled(2)
def test_a_disk_that_turns_read_only_loses_nothing_and_a_rerun_succeeds(
    prepared: Path,
    tmp_path: Path,
    faults: Faults,
    undisturbed: Callable[[str], tuple[Tree, dict[frozenset[str], int]]],
    name: str,
) -> None:
    new, writes = undisturbed(name)
    folder = tmp_path / "folder"
    shutil.copytree(prepared, folder)
    point = writes[CHANGES] // 3
    with (
        faults.striking(folder, failing(errno.EROFS, point)),
        pytest.raises(PublishError, match=r"Read-only.*[Cc]heck"),
    ):
        run_job(name, folder)
    assert torn(name, tree_of(prepared), new, without_partial(folder)) == set()
    run_job(name, folder)
    assert tree_of(folder) == new
    assert hidden(folder) == []


def failing(code: int, point: int) -> Callable[[int], None]:
    """Fail at write `point` and ever after."""

    def strike(write: int) -> None:
        if write >= point:
            raise OSError(code, os.strerror(code))

    return strike


POINTS: dict[str, list[float] | list[str]] = {
    "calculate": [0.3, 0.8],
    "consensus": [NEW_TABLE],
    "apply": [0.4, 0.8],
    "apply keeping": [NEW_IMAGE],
}


# The kills of `test_kills` tell most of it.
@pytest.mark.e2e
def test_a_killed_task_loses_nothing_and_a_rerun_heals_it(
    prepared: Path, tmp_path: Path
) -> None:
    """Killed while building, around the switch, and while listing what is new."""
    folder = tmp_path / "folder"
    shutil.copytree(prepared, folder)
    jobs = [
        {
            "function": JOBS[name][0],
            "arguments": JOBS[name][1],
            "points": points,
        }
        for name, points in POINTS.items()
    ]
    output = subprocess.run(
        [sys.executable, str(DRIVER), str(folder)],
        input=json.dumps(jobs),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    old = tree_of(prepared)
    for name, result in zip(POINTS, json.loads(output), strict=True):
        new, *killed = map(Path, result["copies"])
        for copy in killed:
            assert torn(name, old, tree_of(new), without_partial(copy)) == set()
            assert hidden(copy) != []
            run_job(name, copy)
            assert tree_of(copy) == tree_of(new), name
            assert hidden(copy) == []


def without_partial(folder: Path) -> Tree:
    """Leave out what is not yet a file of the plate: half-written ones."""
    return {
        path: data
        for path, data in tree_of(folder).items()
        if not path.endswith(".partial")
    }


def test_a_table_that_was_published_and_not_listed_is_listed_by_a_rerun(
    prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(prepared, folder)
    run_job("consensus", folder)
    new = tree_of(folder)
    url = image_urls(folder / "plate.zarr", 2)[1]
    group = zarr.open_group(f"{url}/tables", mode="r+")
    listed = group.attrs["tables"]
    assert isinstance(listed, list)
    group.attrs["tables"] = listed[:-1]
    assert listed[-1] == "other_registered"
    run_job("consensus", folder)
    assert tree_of(folder) == new
    assert list(read_table(url, "other_registered").rois) == ["FOV_1", "FOV_2"]
