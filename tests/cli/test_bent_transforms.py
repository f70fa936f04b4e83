"""Transforms that bend: shown, written for other software, and read from there."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import fractal_tasks as ft
from fractal_tasks.cli import main
from fractal_tasks.transforms import Warp
from fractal_tasks.transforms.foreign import read_transform
from tests.cli.helpers import IN_PROCESS, Capture, tree_hash
from tests.conftest import MakePlate
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    image_urls,
    read_pixels,
    run_apply,
    run_consensus,
)
from tests.tasks.test_bent_plates import BENT, bend, calculate, judge, warps_in
from tests.tasks.test_turned_plates import columns_of


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    return make_plate(**BENT, then=[bend, calculate, judge])


@pytest.fixture
def fresh(make_plate: MakePlate) -> Path:
    """The same, nothing measured yet."""
    return make_plate("fresh.zarr", **BENT, then=[bend])


def run(*words: object) -> int:
    return main(["transforms", *map(str, words)])


def points_in(url: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(
        ft.point_map(url).to_reference(rng.uniform(15, 100, (40, 2))).points_um
    )


@pytest.mark.parametrize("kind", ["rfc5", "itk", "itk_h5"])
@pytest.mark.sampled(4)
def test_what_is_exported_can_be_imported_and_does_the_same(
    plate: Path, fresh: Path, tmp_path: Path, kind: str
) -> None:
    url, other = (image_urls(one, 2)[1] for one in (plate, fresh))
    out = tmp_path / "out"
    assert run("export", url, "--format", kind, "--output", out) == 0
    assert run("import", other, out) == 0
    assert columns_of(other, "FOV_1", TABLE)["registration_status"] == "imported"
    run_consensus(image_urls(fresh, 2))
    np.testing.assert_allclose(points_in(other), points_in(url), atol=2e-4)
    for one in (plate, fresh):
        for image in image_urls(one, 2):
            run_apply([image])
    ours, theirs = (read_pixels(one).astype(int) for one in (url, other))
    assert ours.shape == theirs.shape
    # Displacements are stored in 32 bits.
    assert np.abs(ours - theirs).max() <= 1


def test_points_go_the_same_way_before_and_after_apply(plate: Path) -> None:
    url = image_urls(plate, 2)[1]
    before = points_in(url)
    assert np.isfinite(before).all()
    shown = ft.point_map(url)
    back = shown.to_acquisition(before).points_um
    again = shown.to_reference(back).points_um
    np.testing.assert_allclose(again, before, atol=1e-6)
    run_apply([url])
    np.testing.assert_allclose(points_in(url), before, atol=1e-9)


def test_they_are_shown_composed_and_inverted(
    plate: Path, tmp_path: Path, capsys: Capture
) -> None:
    url = image_urls(plate, 2)[1]
    assert run("inspect", url) == 0
    assert "FOV_1: bijection, moves its middle by" in capsys.readouterr().out
    assert run("export", url, "--format", "itk", "--output", tmp_path / "out") == 0
    first = tmp_path / "out" / "FOV_1.tfm"
    back, both = tmp_path / "back.ome.zarr", tmp_path / "both.tfm"
    assert run("invert", first, "--format", "rfc5", "--output", back) == 0
    assert zarr.open_group(back / "coordinateTransformations/field").attrs["ome"]
    words = ["compose", first, back, "--format", "itk", "--output", both]
    assert run(*words) == 0
    # One after the other they do nothing.
    whole, _ = read_transform(both.read_text(), "both")
    points = np.random.default_rng(0).uniform((0.5, 15, 15), (0.5, 100, 100), (50, 3))
    assert np.abs(whole.map_points(points) - points).max() < 0.02


def test_a_matrix_is_refused_and_nothing_is_written(
    plate: Path, tmp_path: Path, capsys: Capture
) -> None:
    url = image_urls(plate, 2)[1]
    out = tmp_path / "out"
    assert run("export", url, "--format", "matrix", "--output", out) != 0
    assert "Choose the format 'rfc5' or 'itk'" in capsys.readouterr().err
    assert not out.exists()


def test_nifti_without_its_package_says_what_to_install(
    plate: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    out = tmp_path / "out"
    url = image_urls(plate, 2)[1]
    assert run("export", url, "--format", "nifti", "--output", out) == 2
    assert 'pip install "fractal-tasks[nifti]"' in capsys.readouterr().err
    (tmp_path / "FOV_1.nii.gz").touch()
    assert run("import", url, tmp_path / "FOV_1.nii.gz") == 2
    assert 'pip install "fractal-tasks[nifti]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage", ["gone", "lost", "cut", "elsewhere", "nan", "shape", "short"]
)
def test_store_without_its_displacements_is_named(
    plate: Path, fresh: Path, tmp_path: Path, damage: str, capsys: Capture
) -> None:
    out = tmp_path / "out"
    words = ["--format", "rfc5", "--output", out]
    assert run("export", image_urls(plate, 2)[1], *words) == 0
    store = out / "FOV_1.ome.zarr"
    if damage == "gone":
        shutil.rmtree(store / "coordinateTransformations")
    elif damage == "lost":
        shutil.rmtree(store / "coordinateTransformations/field/0/c")
    elif damage == "cut":
        shutil.rmtree(store / "coordinateTransformations/field/0/c")
        (store / "coordinateTransformations/field/0/zarr.json").write_text("{")
    elif damage == "nan":
        field = store / "coordinateTransformations/field/0"
        zarr.open_array(field, mode="r+")[1, 0, 0, 0] = np.nan
    elif damage == "shape":
        field = store / "coordinateTransformations/field/0"
        zarr.create_array(field, data=np.zeros((2, 5, 6), "f4"), overwrite=True)
    elif damage == "short":
        field = store / "coordinateTransformations/field/0"
        chunk = next(path for path in (field / "c").rglob("*") if path.is_file())
        chunk.write_bytes(chunk.read_bytes()[:20])
    else:
        path = store / "zarr.json"
        path.write_text(path.read_text().replace("coordinateTransformations/f", "../f"))
    assert run("import", image_urls(fresh, 2)[1], out) != 0
    shown = capsys.readouterr().err
    assert "FOV_1.ome.zarr" in shown
    assert "Export it again" in shown


def test_what_folds_is_refused(
    plate: Path, fresh: Path, tmp_path: Path, capsys: Capture
) -> None:
    url = image_urls(plate, 2)[1]
    assert run("export", url, "--format", "itk", "--output", tmp_path / "out") == 0
    path = tmp_path / "out" / "FOV_1.tfm"
    head, _, last = path.read_text().rpartition("\nParameters: ")
    values, _, rest = last.partition("\n")
    steep = [str(30 * float(one)) for one in values.split()]
    path.write_text(f"{head}\nParameters: {' '.join(steep)}\n{rest}")
    assert run("import", image_urls(fresh, 2)[1], path) != 0
    assert "folds the image" in capsys.readouterr().err
    assert "transform" not in json.dumps(
        list(columns_of(image_urls(fresh, 2)[1], "FOV_1", TABLE))
    )


def test_warps_are_those_of_the_table(plate: Path) -> None:
    url = image_urls(plate, 2)[1]
    found = ft.point_map(url).transforms
    stored = warps_in(url, TABLE)
    assert all(isinstance(one, Warp) for one in found.values())
    assert {name: one.field for name, one in stored.items()} == {
        name: one.field for name, one in found.items() if isinstance(one, Warp)
    }


@pytest.mark.parametrize("damage", ["gone", "nan"])
def test_commands_name_displacements_that_are_damaged(
    plate: Path, tmp_path: Path, damage: str, capsys: Capture
) -> None:
    """Of the image nothing is changed."""
    url = image_urls(plate, 2)[1]
    folder = next((Path(url) / "registration").iterdir())
    if damage == "gone":
        shutil.rmtree(folder)
    else:
        zarr.open_array(folder / "inverse" / "0", mode="r+")[1, 0, 0, 0] = np.nan
    before = tree_hash(Path(url))
    points = tmp_path / "points.csv"
    points.write_text("y,x\n5,5\n")
    output = ["--output", str(tmp_path / "out")]
    for words in (
        ["transforms", "inspect", url],
        ["transforms", "export", url, "--format", "itk", *output],
        ["points", url, str(points), "--to", "reference", *output],
        [
            "apply-registration-to-image",
            url,
            "--registered-roi-table",
            REGISTERED,
            *IN_PROCESS,
        ],
    ):
        assert main(words) == 1, words
        shown = " ".join(capsys.readouterr().err.split())
        assert "the displacements 'registration/" in shown
        assert "Calculate Registration" in shown
        assert not (tmp_path / "out").exists()
    assert tree_hash(Path(url)) == before


def test_displacements_that_lead_out_of_the_reference_are_refused(
    plate: Path, fresh: Path, tmp_path: Path, capsys: Capture
) -> None:
    url = image_urls(plate, 2)[1]
    assert run("export", url, "--format", "rfc5", "--output", tmp_path / "out") == 0
    field = tmp_path / "out/FOV_1.ome.zarr/coordinateTransformations/field/0"
    array = zarr.open_array(field, mode="r+")
    array[1] = np.asarray(array[1]) + 5000
    assert run("import", image_urls(fresh, 2)[1], tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert "wholly outside the reference" in shown
    assert "FOV_1.ome.zarr, for ROI 'FOV_1'" in shown
