"""Transforms are shown, and written for other software."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import fractal_tasks as ft
from fractal_tasks.cli import main
from tests.cli.helpers import Capture
from tests.records.plates import PIXELS
from tests.tasks.plates import run_apply


def run(*words: object) -> int:
    return main(["transforms", *map(str, words)])


def test_transforms_are_shown_before_and_after_apply(
    image: str, capsys: Capture
) -> None:
    assert run("inspect", image) == 0
    shown = capsys.readouterr().out
    assert "FOV_1: translation, moves its middle by z=0.000" in shown
    run_apply([image])
    assert run("inspect", image) == 0
    assert capsys.readouterr().out == shown
    assert run("inspect", image, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["roi"] for one in found["transforms"]] == ["FOV_1", "FOV_2"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("matrix", "FOV_1.txt"),
        ("itk", "FOV_1.tfm"),
        ("itk_h5", "FOV_1.h5"),
        ("rfc5", "FOV_1.ome.zarr/zarr.json"),
    ],
)
@pytest.mark.sampled(2)
def test_each_roi_gets_a_file_and_none_is_overwritten(
    image: str, tmp_path: Path, kind: str, name: str, capsys: Capture
) -> None:
    words = ["export", image, "--format", kind, "--output", tmp_path / "out"]
    assert run(*words) == 0
    path = tmp_path / "out" / name
    content = path.read_bytes()
    assert len(list((tmp_path / "out").iterdir())) == 2
    if kind == "matrix":
        by_roi = ft.point_map(image).transforms["FOV_1"]
        centred = PIXELS.to_centres(by_roi).map_points(np.zeros((1, 3)))[0]
        np.testing.assert_allclose(np.loadtxt(path)[:3, 3], centred, atol=1e-9)
    path.write_text("mine")
    capsys.readouterr()
    assert run(*words) != 0
    shown = capsys.readouterr().err
    assert "is there already" in shown
    assert str(path) in shown
    assert path.read_text() == "mine" != content.decode(errors="replace")


def test_what_does_not_bend_is_no_nifti(
    image: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert run("export", image, "--format", "nifti", "--output", out) == 2
    assert "Choose another format, e.g. 'itk'" in capsys.readouterr().err
    assert not out.exists()


def test_names_of_rois_lead_nowhere(image: str, tmp_path: Path) -> None:
    from fractal_tasks.cli.transform_files import Format, name_file

    for name in ("../../x", "/etc/x", "a/b", "..", "\0"):
        for kind in get_args(Format):
            path = tmp_path / name_file(name, kind)
            assert tmp_path in path.resolve().parents
