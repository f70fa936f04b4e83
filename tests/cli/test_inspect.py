"""`inspect` says what is there, what belongs together, and what to type."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fractal_tasks.cli import main
from tests.cli.helpers import Capture, tree_hash
from tests.plain_plates import (
    PIXEL_UM,
    channels,
    make_scene,
    see,
    write_image,
    write_plate,
)

SHIFT_PX = (5, -7)
DAPI = {"wavelength_id": "A01_C01", "label": "DAPI"}
GFP = {"wavelength_id": "A02_C02", "label": "GFP"}


def inspect(capsys: Capture, *arguments: object, code: int = 0) -> Any:
    """Give what `inspect` says as JSON data."""
    assert main(["inspect", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def write_pair(plate: Path, well: str, *omero: Any) -> None:
    """Write an image of 128 px for each acquisition of a well."""
    for path, one in zip("012", omero, strict=False):
        shift_px = (0, 0) if path == "0" else SHIFT_PX
        count = len(one["channels"]) if one else 1
        pixels = np.stack([see(make_scene(1), shift_px, int(path))] * count)
        write_image(plate / well / path, pixels, omero=one)


def test_command_works_when_it_is_pasted(tmp_path: Path, capsys: Capture) -> None:
    plate = tmp_path / "it's a $plate; 1.zarr"
    write_plate(plate, {"A/1": {"0": 3, "1": 7}})
    write_pair(plate, "A/1", channels(DAPI), channels({**DAPI, "label": "DAPI 2"}))
    before = tree_hash(plate)
    command = inspect(capsys, plate)["command"]
    assert tree_hash(plate) == before
    bin_folder = Path(sys.executable).parent
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-c", f"{command} --workers 1"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    made = {one.name for one in (plate / "A/1").iterdir() if one.is_dir()}
    assert made == {"0", "1", "0_registered", "1_registered"}


def test_text_counts_names_and_has_the_axes_of_the_image(
    tmp_path: Path, capsys: Capture
) -> None:
    plate = tmp_path / "p.zarr"
    write_plate(plate, {"A/1": {"0": 0, "1": 1}, "A/2": {"0": 0}})
    write_pair(plate, "A/1", channels(DAPI), channels(DAPI))
    write_pair(plate, "A/2", channels(DAPI))
    assert main(["inspect", str(plate)]) == 0
    text, warned = capsys.readouterr()
    assert "2 wells: A/1, A/2" in text
    assert "1 image, acquisition 1, A/1/1" in text
    assert f"0: 128 x 128, pixels of {PIXEL_UM:g} x {PIXEL_UM:g} um (y, x)" in text
    assert f"{plate}/A/2/0: nothing else in its well is to be registered" in warned


def test_content_is_what_was_written(tmp_path: Path, capsys: Capture) -> None:
    write_plate(tmp_path / "p.zarr", {"A/1": {"0": 0, "1": 1}})
    write_pair(tmp_path / "p.zarr", "A/1", channels(DAPI, GFP), channels(DAPI))
    first, second = inspect(capsys, tmp_path / "p.zarr")["images"]
    assert (first["acquisition"], second["acquisition"]) == (0, 1)
    assert (first["axes"], first["data_type"]) == ("cyx", "uint16")
    assert first["unit"] == "micrometer"
    assert first["channels"] == [
        {"index": 0, "wavelength_id": "A01_C01", "label": "DAPI"},
        {"index": 1, "wavelength_id": "A02_C02", "label": "GFP"},
    ]
    assert first["levels"] == [
        {
            "path": path,
            "shape": [2, 128 // factor, 128 // factor],
            "pixel_um": [1.0, PIXEL_UM * factor, PIXEL_UM * factor],
        }
        for path, factor in (("0", 1), ("1", 2), ("2", 4))
    ]


@pytest.mark.parametrize(
    ("omero", "flags"),
    [
        ((channels(DAPI, GFP), channels(DAPI, GFP)), "--wavelength-id A01_C01"),
        ((channels(GFP, DAPI), channels(GFP, DAPI)), "--wavelength-id A01_C01"),
        (
            (
                channels(DAPI, GFP),
                channels({**DAPI, "label": "RFP"}, {"label": "DAPI"}),
            ),
            "--wavelength-id DAPI",
        ),
        (
            (channels(DAPI, GFP), channels(GFP, {"label": "Hoechst"})),
            "--wavelength-id DAPI --acquisition-wavelength-ids.1 Hoechst",
        ),
        ((channels({"label": "GFP"}), None), "--wavelength-id GFP"),
        ((None, None), "--wavelength-id 0"),
        ((channels({"label": "GFP"}), channels({"label": "RFP"})), None),
    ],
    ids=["same", "nuclei", "label", "other stain", "unnamed", "no names", "none"],
)
def test_stain_is_one_that_all_have_best_of_nuclei(
    tmp_path: Path, capsys: Capture, omero: tuple[Any, Any], flags: str | None
) -> None:
    plate = tmp_path / "p.zarr"
    write_plate(plate, {"A/1": {"0": 0, "1": 1}})
    write_pair(plate, "A/1", *omero)
    command = inspect(capsys, plate)["command"]
    expected = f"fractal-tasks register {plate} {flags} --no-overwrite-input"
    assert command == (None if flags is None else expected)


def test_bad_well_is_named_and_the_others_go_on(
    tmp_path: Path, capsys: Capture
) -> None:
    plate = tmp_path / "p.zarr"
    write_plate(plate, {well: {"0": 0, "1": 1} for well in ("A/1", "A/2")})
    write_pair(plate, "A/1", None, None)
    found = inspect(capsys, plate, code=1)
    assert set(found["failures"]) == {f"{plate}/A/2/0", f"{plate}/A/2/1"}
    assert found["closed"] == {}
    assert [pair["zarr_url"] for pair in found["pairs"]] == [f"{plate}/A/1/1"]
    assert main(["inspect", str(plate)]) == 1
    text = capsys.readouterr().out
    assert "acquisition 1: image 1 to 0: ROIs 1 by name" in text
    assert "2 images can be registered." in text


def test_pairs_by_order_alone_are_said_to_be_unsure(
    tmp_path: Path, capsys: Capture
) -> None:
    plate = tmp_path / "p.zarr"
    write_plate(plate, {"A/1": {"0": 0, "1": 0, "2": 1, "3": 1}})
    for path in "0123":
        write_image(plate / "A/1" / path, see(make_scene(int(path) % 2))[None])
    pairs = inspect(capsys, plate)["pairs"]
    assert [(one["zarr_url"][-1], one["reference_zarr_url"][-1]) for one in pairs] == [
        ("2", "0"),
        ("3", "1"),
    ]
    assert [one["image_paired_by"] for one in pairs] == ["order", "order"]
    assert main(["inspect", str(plate)]) == 0
    text = "image 2 to 0, by order: ROIs 1 by name; so their pixels must confirm it"
    assert text in capsys.readouterr().out


def test_one_image_of_a_plate_is_shown_with_its_reference(
    tmp_path: Path, capsys: Capture
) -> None:
    plate = tmp_path / "p.zarr"
    write_plate(plate, {"A/1": {"0": 0, "1": 1, "2": 2}})
    write_pair(plate, "A/1", None, None, None)
    found = inspect(capsys, plate / "A/1/2")
    assert [one["acquisition"] for one in found["images"]] == [2, 0]
    assert [one["reference_zarr_url"] for one in found["pairs"]] == [f"{plate}/A/1/0"]


def test_plates_of_one_acquisition_each_are_registered_to_the_first(
    tmp_path: Path, capsys: Capture
) -> None:
    plates = [tmp_path / "day1.zarr", tmp_path / "day2.zarr"]
    for plate in plates:
        write_plate(plate, {"A/1": {"0": None}, "A/2": {"0": None}})
        for well in ("A/1", "A/2"):
            write_image(plate / well / "0", see(make_scene(1))[None])
    found = inspect(capsys, *plates)
    assert shlex.split(found["command"])[:5] == [
        *("fractal-tasks", "register", str(plates[1])),
        *("--reference", str(plates[0])),
    ]
    assert [one["reference_zarr_url"] for one in found["pairs"]] == [
        f"{plates[0]}/A/{column}/0" for column in "12"
    ]


def test_images_in_no_plate_are_registered_to_the_first(
    tmp_path: Path, capsys: Capture
) -> None:
    urls = [str(tmp_path / name) for name in ("day 1.zarr", "day 2.zarr")]
    for url in urls:
        write_image(Path(url), see(make_scene(1))[None])
    found = inspect(capsys, *urls)
    assert shlex.split(found["command"])[:5] == [
        *("fractal-tasks", "register", urls[1]),
        *("--reference", urls[0]),
    ]
    assert [one["rois"] for one in found["pairs"]] == [{"image": "image"}]
    for url, stain in zip(urls, (GFP, DAPI), strict=True):
        write_image(Path(url), see(make_scene(1))[None], omero=channels(stain))
    assert main(["inspect", *urls]) == 0
    shown = capsys.readouterr().out
    assert "--acquisition-wavelength-ids.NAME" in shown
    assert "e.g. day 2." in shown
    assert "nothing else" not in shown
    assert main(["inspect", urls[0]]) == 0
    assert "This image is in no plate." in capsys.readouterr().out


def test_unit_that_is_missing_is_said(tmp_path: Path, capsys: Capture) -> None:
    write_image(tmp_path / "x.zarr", see(make_scene(1))[None])
    group = zarr.open_group(tmp_path / "x.zarr", mode="r+")
    multiscales: Any = group.attrs["multiscales"]
    for axis in multiscales[0]["axes"]:
        axis.pop("unit", None)
    group.attrs["multiscales"] = multiscales
    assert main(["inspect", str(tmp_path / "x.zarr")]) == 0
    assert "unit none, taken as micrometer" in capsys.readouterr().out
