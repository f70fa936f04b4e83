"""Transforms of other software take the place of estimates."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fractal_tasks as ft
from fractal_tasks.cli import main
from fractal_tasks.transforms import Translation
from tests.cli.helpers import IN_PROCESS, Capture
from tests.conftest import MakePlate
from tests.tasks.plates import (
    REGISTERED,
    image_urls,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
)

SHIFT = "1 0 0 0\n0 1 0 9.1\n0 0 1 -6.5\n0 0 0 1\n"
FAR = SHIFT.replace("9.1", "9000")
TABLE = "FOV_ROI_table"


def run(*words: object) -> int:
    return main(["transforms", *map(str, words)])


def statuses(url: str, table: str = REGISTERED) -> dict[str, str]:
    rows = read_table(url, table).rois
    return {
        name: (roi.model_extra or {})["registration_status"]
        for name, roi in rows.items()
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_text(SHIFT)
    return path


def test_what_is_imported_is_used_as_it_is(
    plate: Path, file: Path, capsys: Capture
) -> None:
    """9.1 um is wrong for this plate, and 28 pixels."""
    url = image_urls(plate, 2)[1]
    assert run("import", url, file) == 0
    assert "FOV_1: imported from mine.txt" in capsys.readouterr().out
    words = ["register", str(plate), "--wavelength-id", "A01_C01", *IN_PROCESS]
    assert main(words) == 0
    assert statuses(url) == {"FOV_1": "imported", "FOV_2": "imported"}
    moved = ft.point_map(url).transforms["FOV_2"]
    assert moved.displacement_at((0, 0, 0)) == pytest.approx((0, 9.1, -6.5))
    # What only moves is copied, not interpolated.
    assert isinstance(moved, Translation)


def test_one_roi_is_imported_and_the_other_measured(image: str, tmp_path: Path) -> None:
    folder = tmp_path / "corrected"
    assert run("export", image, "--format", "itk", "--output", folder) == 0
    (folder / "FOV_1.tfm").unlink()
    exported = ft.point_map(image).transforms
    assert run("import", image, folder) == 0
    urls = [image.removesuffix("1") + "0", image]
    run_calculate(urls)
    run_consensus(urls)
    assert statuses(image) == {"FOV_1": "measured", "FOV_2": "imported"}
    again = ft.point_map(image).transforms
    for name in ("FOV_1", "FOV_2"):
        assert again[name].displacement_at((0, 0, 0)) == pytest.approx(
            exported[name].displacement_at((0, 0, 0)), abs=1e-6
        )
    run_calculate(urls, rerun=True)
    assert statuses(image, TABLE) == {"FOV_1": "measured", "FOV_2": "measured"}


def test_import_before_anything_was_measured_is_applied(
    make_plate: MakePlate, file: Path
) -> None:
    urls = image_urls(make_plate(), 2)
    assert run("import", urls[1], file) == 0
    run_consensus(urls)
    for url in urls:
        run_apply([url])
    assert statuses(urls[1]) == {"FOV_1": "imported", "FOV_2": "imported"}


@pytest.mark.parametrize("kind", ["rfc5", "itk", "itk_h5", "matrix"])
@pytest.mark.sampled(2)
def test_what_was_exported_is_imported_in_each_format(
    image: str, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "out"
    before = ft.point_map(image).transforms
    assert run("export", image, "--format", kind, "--output", folder) == 0
    assert run("import", image, folder) == 0
    run_consensus([image.removesuffix("1") + "0", image])
    after = ft.point_map(image).transforms
    points = np.array([(0.0, 0.0, 0.0), (0.0, 20.0, 30.0)])
    for name, one in before.items():
        assert after[name].map_points(points) == pytest.approx(one.map_points(points))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FAR, "wholly outside"),
        (SHIFT.replace("0 1 0 9.1", "0 -1 0 9.1"), "mirrors"),
        (SHIFT.replace("0 1 0 9.1", "0 7 0 9.1"), "factor"),
        ("1 2 3", "cannot be read as a transform"),
        (SHIFT.replace("0 1 0 9.1", "0 0 0 9.1"), "singular"),
        (SHIFT.replace("9.1", "nan"), "finite"),
    ],
    ids=["far away", "mirrored", "in pixels", "no transform", "flat", "no number"],
)
def test_transform_that_cannot_be_right_changes_nothing(
    plate: Path, file: Path, text: str, reason: str, capsys: Capture
) -> None:
    url = image_urls(plate, 2)[1]
    before = read_table(url, TABLE)
    file.write_text(text)
    assert run("import", url, file) == 2
    shown = capsys.readouterr().err
    assert reason in shown
    assert "mine.txt" in shown
    assert read_table(url, TABLE) == before


def test_transform_of_another_image_or_roi_is_refused(
    image: str, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "out"
    assert run("export", image, "--format", "rfc5", "--output", folder) == 0
    store = folder / "FOV_1.ome.zarr" / "zarr.json"
    document = json.loads(store.read_text())
    document["attributes"]["fractal_tasks"]["image"] = "/elsewhere/p.zarr/B/03/1"
    store.write_text(json.dumps(document))
    assert run("import", image, folder) == 2
    assert "B/03/1" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "FOV_7.txt").write_text(SHIFT)
    assert run("import", image, tmp_path / "other") == 2
    assert "FOV_7" in capsys.readouterr().err
    assert run("import", image, tmp_path / "gone") == 2
    reference = image.removesuffix("1") + "0"
    assert run("import", reference, store) == 1
    assert "reference" in capsys.readouterr().err


def test_folder_with_two_files_for_a_roi_is_refused_and_hidden_ones_do_not_count(
    image: str, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "FOV_1.txt").write_text(SHIFT)
    assert run("import", image, folder) == 0
    (folder / "FOV_1.tfm").write_text(SHIFT)
    assert run("import", image, folder) == 2
    assert "['FOV_1']" in capsys.readouterr().err


def test_scene_of_an_image_with_one_transform_is_exported_and_imported(
    plate: Path, file: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The image whose ROIs moved in two ways is refused, and they are named."""
    urls = image_urls(plate, 2)
    out = tmp_path / "out"
    words = ["export", urls[1], "--format", "scene", "--output", out]
    run_calculate(urls)
    run_consensus(urls, subpixel=True)
    assert run(*words) == 2
    shown = capsys.readouterr().err
    assert "other transforms of the ROIs ['FOV_2'] than of 'FOV_1'" in shown
    assert not out.exists()
    assert run("import", urls[1], file) == 0
    run_consensus(urls, subpixel=True)
    assert run(*words) == 0
    store = out / "1.ome.zarr"
    ome = json.loads((store / "zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.6"
    (edge,) = ome["scene"]["coordinateTransformations"]
    assert edge["translation"] == pytest.approx([0, -9.1, 6.5])
    before = ft.point_map(urls[1]).transforms
    assert run("import", urls[1], store) == 0
    run_consensus(urls, subpixel=True)
    after = ft.point_map(urls[1]).transforms
    assert [one.displacement_at((0, 0, 0)) for one in after.values()] == [
        pytest.approx(one.displacement_at((0, 0, 0))) for one in before.values()
    ]


@pytest.mark.parametrize(
    ("edges", "reason"),
    [
        ([("1", "well"), ("0", "plate")], "nothing leads from"),
        ([("1", "0"), ("0", "well"), ("well", "1")], "in a circle"),
    ],
    ids=["no way", "circle"],
)
def test_scene_without_one_way_to_the_reference_is_refused(
    plate: Path,
    tmp_path: Path,
    edges: list[tuple[str, str]],
    reason: str,
    capsys: Capture,
) -> None:
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    names = {name for edge in edges for name in edge}
    scene = {
        "coordinateSystems": [{"name": name, "axes": axes} for name in names],
        "coordinateTransformations": [
            {"type": "identity", "input": {"name": one}, "output": {"name": other}}
            for one, other in edges
        ],
    }
    store = tmp_path / "scene.ome.zarr"
    store.mkdir()
    attributes = {"attributes": {"ome": {"version": "0.6", "scene": scene}}}
    (store / "zarr.json").write_text(json.dumps(attributes))
    url = image_urls(plate, 2)[1]
    before = read_table(url, TABLE)
    assert run("import", url, store) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert reason in shown
    assert "scene.ome.zarr" in shown
    assert read_table(url, TABLE) == before


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:100], lambda data: data.replace(b"Parameters", b"P" * 10)],
)
def test_hdf5_file_that_is_damaged_is_named(
    image: str, tmp_path: Path, damage: Callable[[bytes], bytes], capsys: Capture
) -> None:
    folder = tmp_path / "out"
    assert run("export", image, "--format", "itk_h5", "--output", folder) == 0
    path = folder / "FOV_1.h5"
    path.write_bytes(damage(path.read_bytes()))
    assert run("import", image, folder) == 2
    shown = capsys.readouterr().err
    assert "FOV_1.h5: cannot be read as a transform" in shown


def test_registered_image_takes_no_transform(
    image: str, file: Path, capsys: Capture
) -> None:
    run_apply([image])
    assert run("import", image, file) == 2
    assert "registered already" in capsys.readouterr().err


def test_files_are_composed_and_inverted(
    file: Path, tmp_path: Path, capsys: Capture
) -> None:
    back, none = tmp_path / "back.tfm", tmp_path / "none.txt"
    assert run("invert", file, "--format", "itk", "--output", back) == 0
    words = ["compose", file, back, "--format", "matrix", "--output", none]
    assert run(*words) == 0
    np.testing.assert_allclose(np.loadtxt(none), np.eye(4), atol=1e-12)
    assert run(*words) == 2
    assert "is there already" in capsys.readouterr().err
