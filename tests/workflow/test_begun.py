"""The same command ends a run that was interrupted, as if nothing had happened."""

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.cli import main
from fractal_tasks.records.applied import is_registered
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.workflow.healing import heal_images
from tests.cli.helpers import CHANNEL, IN_PROCESS, Capture
from tests.conftest import MakePlate
from tests.plain_plates import make_scene, see, write_image
from tests.tasks.foreign import read_array, write_plate
from tests.tasks.plates import REGISTERED, data_of

COMMAND = [*CHANNEL, *IN_PROCESS, "--quiet"]
CASES = [
    *(("0.4", done) for done in ("0", "012")),
    pytest.param("0.5", "02", marks=pytest.mark.e2e),
    *(
        pytest.param("0.4", done, marks=pytest.mark.e2e)
        for done in ("1", "2", "12", "01")
    ),
]


def register(*words: object) -> int:
    return main(["register", *map(str, words), *COMMAND])


def apply(urls: Sequence[object]) -> None:
    table = ["--registered-roi-table", REGISTERED]
    command = ["apply-registration-to-image", *map(str, urls), *table, *IN_PROCESS]
    assert main([*command, "--quiet"]) == 0


def judge(plate: Path, *consensus: str) -> None:
    quiet = [*IN_PROCESS, "--quiet"]
    assert main(["calculate-registration", str(plate), *CHANNEL, *quiet]) == 0
    assert main(["find-registration-consensus", str(plate), *consensus, *quiet]) == 0


def finish(plate: Path) -> None:
    assert register(plate) == 0


@pytest.fixture
def judged(make_plate: MakePlate) -> Path:
    """A plate of two wells with three acquisitions each, judged and not registered."""
    return make_plate(columns=2, then=[judge])


@pytest.fixture
def undisturbed(make_plate: MakePlate) -> dict[str, bytes]:
    """What one run makes of it."""
    return data_of(make_plate("undisturbed.zarr", columns=2, then=[judge, finish]))


@pytest.mark.parametrize(("ngff_version", "done"), CASES)
@pytest.mark.e2e
def test_run_is_ended_whatever_images_of_a_well_were_replaced(
    make_plate: MakePlate, ngff_version: str, done: str
) -> None:
    plate = make_plate(ngff_version=ngff_version, then=[judge])
    undisturbed = make_plate(
        "undisturbed.zarr", ngff_version=ngff_version, then=[judge, finish]
    )
    apply([plate / "A/01" / path for path in done])
    assert register(plate) == 0
    assert data_of(plate) == data_of(undisturbed)
    assert register(plate) == 0
    assert data_of(plate) == data_of(undisturbed)


@pytest.mark.e2e
@pytest.mark.parametrize("named", ["wells", "images"])
def test_other_wells_and_ways_to_name_images_make_no_difference(
    judged: Path, undisturbed: dict[str, bytes], named: str, capsys: Capture
) -> None:
    apply([judged / "A/01/0", judged / "A/02/1"])
    paths = ["A/01", "A/02"]
    if named == "images":
        paths = [f"{well}/{path}" for well in paths for path in "012"]
    command = ["register", *(str(judged / one) for one in paths), *CHANNEL]
    for _ in range(2):
        assert main([*command, *IN_PROCESS, "--json"]) == 0
        rois = json.loads(capsys.readouterr().out)["rois"]
        told = [(one["zarr_url"], one["status"]) for one in rois]
        assert told == [
            (f"{judged}/A/0{well}/{path}", "measured" if int(path) else "reference")
            for well in "12"
            for path in "012"
            for _ in range(2)
        ]
        assert data_of(judged) == undisturbed


@pytest.mark.e2e
def test_consensus_lets_the_judgement_of_images_that_are_replaced_stand(
    judged: Path, undisturbed: dict[str, bytes]
) -> None:
    apply([judged / "A/01/2"])
    before = data_of(judged)
    assert main(["find-registration-consensus", str(judged), *IN_PROCESS]) == 0
    assert data_of(judged) == before
    apply([judged / "A/01", judged / "A/02"])
    assert data_of(judged) == undisturbed


@pytest.mark.parametrize(
    ("flag", "value", "found"),
    [
        ("--min-confidence", "0.5", "--min-confidence 0.5 (was 0.9)"),
        pytest.param(
            "--upper-rescale-quantile",
            "0.9",
            "--upper-rescale-quantile 0.9 (was 0.99)",
            marks=pytest.mark.e2e,
        ),
    ],
)
@pytest.mark.e2e
def test_well_is_not_ended_in_another_way_than_it_was_begun(
    judged: Path, capsys: Capture, flag: str, value: str, found: str
) -> None:
    apply([judged / "A/01/0"])
    before = data_of(judged / "A/01")
    assert register(judged, flag, value) == 1
    shown = capsys.readouterr().err
    assert f"{judged}/A/01/1: found {found}, but other images" in shown
    assert data_of(judged / "A/01") == before
    assert is_registered(parse_image_url(f"{judged}/A/02/1"))


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("flag", "value", "found"),
    [
        ("--min-confidence", "0.5", "--min-confidence 0.5 (was 0.9)"),
        ("--level-path", "1", "--level-path '1' (was '2')"),
        ("--reference-acquisition", "1", "--reference-acquisition 1 (was 0)"),
    ],
)
def test_finished_plate_is_not_said_to_be_registered_with_other_arguments(
    judged: Path, capsys: Capture, flag: str, value: str, found: str
) -> None:
    assert register(judged) == 0
    before = data_of(judged)
    assert register(judged, flag, value) == 1
    shown = capsys.readouterr().err
    assert f"{judged}/A/02/1" in shown
    assert f"Found {found}, but the image is registered already" in shown
    assert data_of(judged) == before
    assert register(judged) == 0


def test_finished_image_is_not_said_to_be_registered_to_another_reference(
    tmp_path: Path, capsys: Capture
) -> None:
    scene = make_scene(3)
    fixed, other, moving = (
        write_image(tmp_path / f"{name}.zarr", see(scene, shift_px)[None])
        for name, shift_px in (("fixed", (0, 0)), ("other", (3, 3)), ("m", (5, -7)))
    )
    command = ["register", str(moving), "--wavelength-id", "0", *IN_PROCESS]
    assert main([*command, "--reference", str(fixed)]) == 0
    before = data_of(tmp_path)
    capsys.readouterr()
    for arguments, found in (
        (["--reference", str(other)], f"{str(other)!r} (was {str(fixed)!r})"),
        ([], f"Found no reference (was {str(fixed)!r})"),
    ):
        assert main([*command, *arguments]) == 1
        assert found in capsys.readouterr().err
        assert data_of(tmp_path) == before
    (tmp_path / "link").symlink_to(tmp_path)
    assert main([*command, "--reference", str(tmp_path / "link/fixed.zarr")]) == 0


def test_image_may_be_added_to_a_finished_plate_without_roi_tables(
    tmp_path: Path,
) -> None:
    """The whole image, which is then the ROI, is that of the registered one, too."""
    scene, plate = make_scene(3), tmp_path / "plate.zarr"
    images = [{"pixels": see(scene, (at, at))[None]} for at in (0, 5, -4)]
    write_plate(tmp_path / "new.zarr", images)
    urls = write_plate(plate, images[:2])
    later = plate / "A/01/2"
    command = ["--wavelength-id", "0", *IN_PROCESS, "--quiet"]
    assert main(["register", str(plate), *command]) == 0
    (tmp_path / "new.zarr/A/01/2").rename(later)
    shutil.copy(tmp_path / "new.zarr/A/01/.zattrs", plate / "A/01/.zattrs")
    assert main(["register", str(plate), *command]) == 1
    assert main(["register", *urls, str(later), *command]) == 0
    first, *others = (read_array(url)[0] for url in (*urls, str(later)))
    for other in others:
        seen = (first > 0) & (other > 0)
        assert seen.mean() > 0.8
        assert np.corrcoef(first[seen], other[seen])[0, 1] > 0.97


@pytest.mark.e2e
def test_image_that_was_not_judged_with_the_others_is_named(
    judged: Path, capsys: Capture
) -> None:
    apply([judged / "A/01/0"])
    shutil.rmtree(judged / "A/01/2/tables" / REGISTERED)
    before = data_of(judged / "A/01/2")
    assert register(judged) == 1
    assert f"{judged}/A/01/2: others of its well are registered" in (
        capsys.readouterr().err
    )
    assert data_of(judged / "A/01/2") == before
    assert is_registered(parse_image_url(f"{judged}/A/01/1"))


def test_input_that_is_replaced_cannot_be_kept(
    make_plate: MakePlate, capsys: Capture
) -> None:
    plate = make_plate(then=[judge, finish])
    before = data_of(plate)
    assert register(plate, "--no-overwrite-input") == 1
    assert "Found --no-overwrite-input, but the image" in capsys.readouterr().err
    assert data_of(plate) == before


@pytest.mark.e2e
def test_damaged_label_leaves_a_well_that_the_same_command_finishes(
    make_plate: MakePlate, capsys: Capture
) -> None:
    plate = make_plate(labels=True, then=[judge])
    undisturbed = make_plate("other.zarr", labels=True, then=[judge, finish])
    level = plate / "A/01/1/labels/nuclei/0"
    chunk = max(level.rglob("[0-9]*"), key=lambda path: path.stat().st_size)
    content, status = chunk.read_bytes(), chunk.stat()
    chunk.write_bytes(content[: len(content) // 2])
    before = data_of(plate / "A/01/1")
    assert register(plate) == 1
    shown = capsys.readouterr().err
    assert str(chunk) in shown
    assert "Then run the same command again: it goes on" in shown
    assert is_registered(parse_image_url(f"{plate}/A/01/0"))
    assert data_of(plate / "A/01/1") == before
    chunk.write_bytes(content)
    # Of a backup, and part of what records know an image by.
    os.utime(chunk, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert register(plate) == 0
    assert data_of(plate) == data_of(undisturbed)


def leave_workspace(image: Path) -> Path:
    """Leave what a kill after the switch does: the whole old image, hidden."""
    workspace = image.parent / f".fractal-tasks-{image.name}-{'0' * 32}"
    shutil.copytree(image, workspace / "new")
    marker = {"target": image.name}
    (workspace / "marker.json").write_text(json.dumps(marker))
    return workspace


@pytest.mark.e2e
def test_what_a_kill_left_of_a_finished_image_goes_with_the_next_run(
    judged: Path, undisturbed: dict[str, bytes]
) -> None:
    assert register(judged) == 0
    workspace = leave_workspace(judged / "A/01/1")
    assert register(judged, "--dry-run") == 0
    assert workspace.exists()
    assert register(judged) == 0
    assert data_of(judged) == undisturbed


def test_image_between_two_renames_is_found(judged: Path) -> None:
    before = data_of(judged)
    image = judged / "A/01/1"
    workspace = leave_workspace(image)
    image.rename(workspace / "old")
    for dry_run, state in ((True, "left"), (False, "healed")):
        (found,) = heal_images([str(image)], dry_run=dry_run)
        assert (found.zarr_url, found.state) == (str(image), state)
        assert image.exists() == (not dry_run)
    assert data_of(judged) == before


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_heal_does_not_say_that_it_cleared_what_it_left(
    judged: Path, capsys: Capture, dry_run: list[str]
) -> None:
    workspace = leave_workspace(judged / "A/01/1")
    (workspace / "marker.json").write_text('{"tar')
    before = data_of(judged)
    assert main(["heal", str(judged), *dry_run]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{judged}/A/01/1: could not be cleared: nothing in {workspace}" in shown
    assert data_of(judged) == before
    assert workspace.exists()


def test_heal_does_not_say_that_it_cleared_what_could_not_be_removed(
    judged: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = leave_workspace(judged / "A/01/1")

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refuse)
        assert main(["heal", str(judged)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{judged}/A/01/1: could not be cleared: the image is whole" in shown
    assert workspace.exists()


@pytest.mark.e2e
def test_dry_run_and_inspect_say_what_becomes_of_an_image_that_is_set_aside(
    judged: Path, capsys: Capture
) -> None:
    apply([judged / "A/01/0"])
    workspace = leave_workspace(judged / "A/01/1")
    (judged / "A/01/1").rename(workspace / "old")
    for command in (["register", *COMMAND, "--dry-run"], ["inspect"]):
        assert main([*command, str(judged)]) == 1
        shown = " ".join("".join(capsys.readouterr()).split())
        assert f"{judged}/A/01/1: a run was interrupted between the two steps" in shown
    assert register(judged) == 0


@pytest.mark.e2e
def test_inspect_says_that_the_same_command_finishes_what_was_begun(
    judged: Path, capsys: Capture
) -> None:
    apply([judged / "A/01/0"])
    assert main(["inspect", str(judged), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["begun"] == [f"{judged}/A/01/1", f"{judged}/A/01/2"]
    assert not found["failures"]
    assert main(["inspect", str(judged)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 images are left of a run that was interrupted" in shown
    assert "3 images can be registered" in shown


def test_heal_says_what_it_found_and_changes_nothing_else(
    judged: Path, capsys: Capture
) -> None:
    before = data_of(judged)
    workspace = leave_workspace(judged / "A/02/0")
    assert main(["heal", str(judged), "--dry-run"]) == 0
    assert f"{judged}/A/02/0: an interrupted run left" in capsys.readouterr().out
    assert main(["inspect", str(judged)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"interrupted lies beside {judged}/A/02/0; the next task" in shown
    assert workspace.exists()
    assert main(["heal", str(judged)]) == 0
    assert f"{judged}/A/02/0: what an interrupted" in capsys.readouterr().out
    assert data_of(judged) == before
    assert main(["heal", str(judged)]) == 0
    assert capsys.readouterr().out == "Found nothing that was interrupted.\n"
