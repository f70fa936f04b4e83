"""Input that stays as it is: all that is written lies in a folder of its own."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import fractal_tasks as ft
from fractal_tasks.cli import main
from fractal_tasks.storage.local.counterpart import restore_image
from tests.cli.helpers import CHANNEL, IN_PROCESS, Capture, tree_hash
from tests.conftest import MakePlate
from tests.plain_plates import Pixels, make_scene, see, write_image, write_plate

SCENE = make_scene(6)
KILLED = 9
WELL = {"0": 0, "1": 1}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that can be closed, and is opened again for pytest to remove it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o700)


def close(folder: Path) -> None:
    """Take away the right to write, as `chmod -R a-w` does."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)


@pytest.fixture
def pair(disk: Path) -> list[str]:
    """A reference and an image that are in no plate, on a closed disk."""
    write_image(disk / "fixed.zarr", see(SCENE)[None])
    write_image(disk / "moved.zarr", see(SCENE, (5, -7), 1)[None])
    close(disk)
    return [str(disk / "moved.zarr"), "--reference", str(disk / "fixed.zarr")]


def register(urls: list[str], *arguments: str) -> int:
    return main(["register", *urls, "--wavelength-id", "0", *arguments, *IN_PROCESS])


def level_0(image: Path) -> Pixels:
    return np.asarray(zarr.open_array(image / "0", mode="r")[0])


def chunks_of(image: Path) -> dict[str, bytes]:
    """Give the files of the levels and labels of an image."""
    return {
        str(path.relative_to(image)): path.read_bytes()
        for part in ("0", "1", "2", "labels")
        for path in sorted((image / part).rglob("*"))
        if path.is_file()
    }


@pytest.mark.e2e
def test_plate_that_cannot_be_written_is_registered_as_another_one(
    disk: Path, make_plate: MakePlate, tmp_path: Path
) -> None:
    normal = make_plate()
    archive = shutil.copytree(normal, disk / "plate.zarr")
    close(disk)
    before = tree_hash(disk)
    well = tmp_path / "out" / "plate.zarr" / "A/01"
    command = ["register", str(archive), "--output", str(tmp_path / "out")]
    assert main([*command, *CHANNEL, *IN_PROCESS]) == 0
    assert tree_hash(disk) == before
    # As a run that was killed before the last image leaves it.
    restore_image(well / "2", tmp_path / "out" / "plate.zarr")
    assert (well / "2/0").is_symlink()
    assert not (well / "0/0").is_symlink()
    assert main([*command, *CHANNEL, *IN_PROCESS]) == 0
    assert tree_hash(disk) == before
    assert main(["register", str(normal), *CHANNEL, *IN_PROCESS]) == 0
    for number in "012":
        made = well / number
        assert chunks_of(made) == chunks_of(normal / "A/01" / number)
        assert not any(path.is_symlink() for path in made.rglob("*"))
        assert (made / "tables/FOV_ROI_table_registered").is_dir()


def test_images_are_registered_in_the_folder_again_and_again(
    pair: list[str], disk: Path, tmp_path: Path
) -> None:
    before = tree_hash(disk)
    moved, _, fixed = pair
    out = tmp_path / "results" / "monday"
    onto: dict[str, Any] = {"reference": fixed, "wavelength_id": "0", "progress": False}
    for _ in range(2):  # the second time there is nothing to do
        result = ft.register(moved, output=out, **onto)
        assert result.images == [str(out / "moved.zarr")]
        assert [roi.status for roi in result.rois] == ["measured"]
        assert not result.failures
        assert tree_hash(disk) == before
    seen = level_0(out / "moved.zarr")
    expected = level_0(out / "fixed.zarr")
    # The tenth that the camera did not see is empty, and noise alone makes it 0.99.
    assert np.corrcoef(expected[seen > 0], seen[seen > 0])[0, 1] > 0.97


def test_images_are_kept_in_the_folder_if_they_are_to_be(
    pair: list[str], disk: Path, tmp_path: Path
) -> None:
    before = tree_hash(disk)
    kept = ["--no-overwrite-input", "--output", str(tmp_path / "out")]
    made = tmp_path / "out/moved_registered.zarr"
    assert register(pair, *kept) == 0
    assert (tmp_path / "out/moved.zarr/0").is_symlink()
    assert level_0(made).any()
    first = chunks_of(made)
    assert register(pair, *kept) == 0
    assert chunks_of(made) == first
    assert tree_hash(disk) == before


@pytest.mark.parametrize("step", [1, 5], ids=["first counterpart", "image"])
@pytest.mark.sampled(2)
def test_run_that_was_killed_goes_on_with_the_same_command(
    pair: list[str], disk: Path, tmp_path: Path, step: int
) -> None:
    """Counterparts of two images, two tables and an image are put in place."""
    before = tree_hash(disk)
    assert register(pair, "--output", str(tmp_path / "undisturbed")) == 0
    out = tmp_path / "out"
    command = ["register", *pair, "--wavelength-id", "0", *IN_PROCESS]
    code = f"""if True:
        import os
        from fractal_tasks.cli import main
        from fractal_tasks.storage.local import publish
        steps, switch = iter(range(1, 100)), publish._switch
        def dies(*arguments):
            if next(steps) == {step}:
                os._exit({KILLED})
            switch(*arguments)
        publish._switch = dies
        main({[*command, "--output", str(out)]!r})
    """
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert killed.returncode == KILLED
    assert list(out.glob(".fractal-tasks-*-*"))
    assert register(pair, "--output", str(out)) == 0
    assert [path.name for path in out.glob(".fractal-tasks-*")] == [
        ".fractal-tasks-locks"
    ]
    wanted = chunks_of(tmp_path / "undisturbed" / "moved.zarr")
    assert chunks_of(out / "moved.zarr") == wanted
    assert tree_hash(disk) == before


def test_dry_run_names_what_would_be_written_in_the_output_folder(
    pair: list[str], disk: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = tree_hash(disk)
    out = tmp_path / "out"
    assert register(pair, "--dry-run", "--json", "--output", str(out)) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["zarr_url"] == str(disk / "moved.zarr")
    assert image["replaces"] == [str(out / "moved.zarr")]
    assert all(url.startswith(f"{out}/moved.zarr/tables/") for url in image["writes"])
    assert not out.exists()
    assert tree_hash(disk) == before


@pytest.mark.parametrize("inner", ["", "/more/folders"])
def test_output_that_can_be_no_folder_is_wrong_usage(
    pair: list[str], tmp_path: Path, capsys: Capture, inner: str
) -> None:
    (tmp_path / "file").touch()
    assert register(pair, "--output", f"{tmp_path}/file{inner}") == 2
    assert (
        f"{tmp_path}/file is no folder; needed is a folder" in capsys.readouterr().err
    )


def test_what_cannot_be_written_is_to_be_registered_into_a_folder(
    pair: list[str], disk: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so permissions are taken from what `access` says."""
    access = os.access

    def denied(path: str, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and Path(path) == disk)

    monkeypatch.setattr(os, "access", denied)
    advice = f"write in {disk}. Change its permissions, or write elsewhere: register"
    assert register(pair, "--yes") == 1
    assert advice in capsys.readouterr().err
    assert main(["inspect", *pair]) == 0
    shown = capsys.readouterr().out
    assert advice in shown
    assert "1 image can be registered." in shown
    assert "--wavelength-id 0 --output registered\n" in shown
    assert main(["inspect", *pair, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["closed"]) == [pair[0]]
    command = found["command"].split()[1:-1]
    assert main([*command, str(disk.parent / "registered"), *IN_PROCESS]) == 0


@pytest.mark.e2e
def test_what_was_mended_in_the_input_is_said_to_be_an_old_copy(
    tmp_path: Path, capsys: Capture
) -> None:
    plate, out = tmp_path / "plate.zarr", tmp_path / "out"
    write_plate(plate, dict.fromkeys(("A/1", "A/2"), WELL))
    for well, path in itertools.product(("A/1", "A/2"), WELL):
        write_image(plate / well / path, see(SCENE, (int(path), 0), int(path))[None])
    attributes = plate / "A/2/1/.zattrs"
    mended = attributes.read_bytes()
    attributes.write_text("{")
    assert register([str(plate)], "--output", str(out)) == 1
    attributes.write_bytes(mended)
    capsys.readouterr()
    assert register([str(plate)], "--output", str(out), "--dry-run") == 1
    planned = capsys.readouterr()
    assert f"{out}/plate.zarr/A/2/1 that can be read: its plate" in planned.err
    assert f"{plate}/A/2/0: left out. The images of a well" in planned.err
    assert f"{plate}/A/2" not in planned.out
    assert register([str(plate)], "--output", str(out)) == 1
    said = capsys.readouterr().err
    assert f"What lies in {out} has copies of the metadata" in said
    shutil.rmtree(out / "plate.zarr")
    assert register([str(plate)], "--output", str(out)) == 0
