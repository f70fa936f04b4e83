"""Plates as other software writes them: `register` works on them, or says why not."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import zarr

from fractal_tasks.cli import main
from tests.cli.helpers import IN_PROCESS, Capture, tree_hash
from tests.plain_plates import (
    MARGIN_PX,
    Pixels,
    channels,
    make_scene,
    see,
    write_image,
    write_plate,
)

SHIFT_PX = (5, -7)
KEEP = "--no-overwrite-input"


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return tmp_path / "plate.zarr"


def register(*arguments: object) -> int:
    return main(["register", *map(str, arguments), *IN_PROCESS])


def make_well(
    plate: Path,
    well: str,
    seen: Mapping[str, tuple[int, tuple[int, int]]],
) -> None:
    """Write images of one channel, each of a scene (its seed) that moved by px."""
    for number, (path, (seed, shift_px)) in enumerate(seen.items()):
        pixels = see(make_scene(seed), shift_px, noise=number)[None]
        write_image(plate / well / path, pixels)


def level_0(image: Path, channel: int = 0) -> Pixels:
    return np.asarray(zarr.open_array(image / "0", mode="r")[channel])


def agree(one: Path, other: Path, channel: int = 0, other_channel: int = 0) -> bool:
    """Whether two images show the same wherever both have seen something.

    Noise alone makes the correlation 0.99; two pixels off, it is below 0.9.
    """
    first, second = level_0(one, channel), level_0(other, other_channel)
    both = (first > 0) & (second > 0)
    assert both.mean() > 1 - 2 * MARGIN_PX / 128
    return bool(np.corrcoef(first[both], second[both])[0, 1] > 0.97)


def test_image_without_any_table_or_channel_metadata_is_one_roi(plate: Path) -> None:
    write_plate(plate, {"A/1": {"0": 0, "1": 1}})
    make_well(plate, "A/1", {"0": (1, (0, 0)), "1": (1, SHIFT_PX)})
    assert register(plate, "--wavelength-id", "A01_C01", KEEP) == 0
    assert agree(plate / "A/1/0_registered", plate / "A/1/1_registered")


@pytest.mark.e2e
def test_one_image_per_field_is_paired_by_order_where_nothing_else_tells(
    plate: Path,
) -> None:
    write_plate(plate, {"A/1": {"0": 0, "1": 0, "2": 1, "3": 1}})
    fields = {
        "0": (1, (0, 0)),
        "1": (2, (0, 0)),
        "2": (1, SHIFT_PX),
        "3": (2, SHIFT_PX),
    }
    make_well(plate, "A/1", fields)
    assert register(plate, "--wavelength-id", "0", KEEP) == 0
    for first, second in (("0", "2"), ("1", "3")):
        well = plate / "A/1"
        assert agree(well / f"{first}_registered", well / f"{second}_registered")


def test_image_that_shows_something_else_is_named_and_left_as_it_is(
    plate: Path, capsys: Capture
) -> None:
    """It is the second one of its acquisition; the first one belongs to the reference.

    Neither do the fields of a well belong to each other that lists no acquisitions.
    """
    fields = dict.fromkeys(("0", "1"))
    write_plate(plate, {"A/1": {"0": 0, "1": 1, "1_zoom": 1}, "A/2": fields})
    images = {"0": (1, (0, 0)), "1": (1, SHIFT_PX), "1_zoom": (2, (0, 0))}
    make_well(plate, "A/1", images)
    make_well(plate, "A/2", {"0": (3, (0, 0)), "1": (4, (0, 0))})
    before = {path: level_0(plate / path) for path in ("A/1/1_zoom", "A/2/0", "A/2/1")}
    assert register(plate, "--wavelength-id", "0") == 1
    assert agree(plate / "A/1/0", plate / "A/1/1")
    shown = capsys.readouterr()
    for path in ("A/1/1_zoom", "A/2/1"):
        assert f"({plate}/{path}): the ROIs ['image'] are paired" in shown.err
    for path, pixels in before.items():
        np.testing.assert_array_equal(level_0(plate / path), pixels)
        assert "registration" not in zarr.open_group(plate / path, mode="r").attrs


def test_acquisitions_that_are_not_numbered_are_registered_if_they_show_the_same(
    plate: Path,
) -> None:
    write_plate(plate, {"A/1": {"0": None, "1": None}})
    make_well(plate, "A/1", {"0": (1, (0, 0)), "1": (1, SHIFT_PX)})
    assert register(plate, "--wavelength-id", "0") == 0
    assert agree(plate / "A/1/0", plate / "A/1/1")


@pytest.mark.parametrize(
    "flags",
    [
        ["--wavelength-id", "DAPI"],
        [
            *("--wavelength-id", "A01_C01"),
            *("--acquisition-wavelength-ids.1", "A02_C02"),
        ],
    ],
    ids=["by label", "by acquisition"],
)
def test_stain_may_be_another_channel_in_each_acquisition(
    plate: Path, flags: list[str]
) -> None:
    write_plate(plate, {"A/1": {"0": 0, "1": 1}})
    cells, other = make_scene(1), make_scene(2)
    ids = ("A01_C01", "A02_C02")
    for path, shift_px, labels in (
        ("0", (0, 0), ("DAPI", "GFP")),
        ("1", SHIFT_PX, ("RFP", "DAPI")),
    ):
        seen = {"DAPI": see(cells, shift_px)}
        planes = [seen.get(label, see(other)) for label in labels]
        omero = channels(
            *(
                {"label": label, "wavelength_id": one}
                for label, one in zip(labels, ids, strict=True)
            )
        )
        write_image(plate / "A/1" / path, np.stack(planes), omero=omero)
    assert register(plate, *flags) == 0
    assert agree(plate / "A/1/0", plate / "A/1/1", other_channel=1)


class TestPlatePerAcquisition:
    """Each acquisition was converted into a plate of its own."""

    @pytest.fixture
    def plates(self, tmp_path: Path) -> list[Path]:
        plates = [tmp_path / f"{name}.zarr" for name in ("first", "second")]
        for one, shift_px in zip(plates, ((0, 0), SHIFT_PX), strict=True):
            write_plate(one, {"A/1": {"0": 0}})
            make_well(one, "A/1", {"0": (1, shift_px)})
        return plates

    def test_one_is_registered_to_the_other_which_is_only_read(
        self, plates: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = plates
        before = tree_hash(first)
        monkeypatch.chdir(first.parent)
        flags = ["--reference", first.name, "--wavelength-id", "0"]
        assert register(second, *flags, "--dry-run") == 0
        assert register(second, *flags) == 0
        assert agree(first / "A/1/0", second / "A/1/0")
        assert tree_hash(first) == before
        after = tree_hash(second)
        assert register(second, *flags) == 0
        assert tree_hash(second) == after

    @pytest.mark.parametrize("fields", [1, 2])
    def test_inspect_says_how_they_are_registered(
        self, plates: list[Path], capsys: Capture, fields: int
    ) -> None:
        for one in plates:
            write_plate(one, {"A/1": {str(field): 0 for field in range(fields)}})
            make_well(one, "A/1", {str(field): (1, (0, 0)) for field in range(fields)})
        assert main(["inspect", *map(str, plates)]) == 0
        first, second = plates
        command = f"fractal-tasks register {second} --reference {first} "
        assert command in capsys.readouterr().out

    def test_well_of_which_the_other_plate_has_none_is_named(
        self, plates: list[Path], capsys: Capture
    ) -> None:
        first, second = plates
        write_plate(second, {"A/1": {"0": 0}, "B/7": {"0": 0}})
        make_well(second, "B/7", {"0": (1, (0, 0))})
        flags = ["--reference", first, "--wavelength-id", "0"]
        assert register(second, *flags) == 1
        shown = capsys.readouterr().err
        assert f"{second}/B/7: found no well B/7 in {first}, which has" in shown
        assert agree(first / "A/1/0", second / "A/1/0")

    def test_without_a_reference_there_is_nothing_to_register(
        self, plates: list[Path], capsys: Capture
    ) -> None:
        before = [tree_hash(one) for one in plates]
        assert register(*plates, "--wavelength-id", "0") == 1
        assert "none to register" in capsys.readouterr().err
        assert [tree_hash(one) for one in plates] == before


def test_bad_wells_are_named_and_the_others_registered(
    plate: Path, capsys: Capture
) -> None:
    both = {"0": 0, "1": 1}
    wells = {"A/1": both, "A/2": both, "A/3": {"1": 1}, "A/4": {"0": 0}, "A/5": both}
    write_plate(plate, wells)
    for well in ("A/1", "A/3", "A/4"):
        make_well(plate, well, {"0": (1, (0, 0)), "1": (1, SHIFT_PX)})
    (plate / "A/2/.zattrs").unlink()
    alone = level_0(plate / "A/4/0")
    arguments = [plate, "--wavelength-id", "0"]
    assert register(*arguments, "--dry-run") == 1
    planned = capsys.readouterr()
    assert f"{plate}/A/1/1: registered to {plate}/A/1/0, 1 ROIs" in planned.out
    for image in (f"{plate}/A/5/0", f"{plate}/A/5/1"):
        assert f"Error: {image}: left out. {image}: found no OME-Zarr" in planned.err
    assert register(*arguments) == 1
    assert agree(plate / "A/1/0", plate / "A/1/1")
    shown = capsys.readouterr().err
    assert f"{plate}/A/2: left out. {plate}/A/2: found no well" in shown
    assert f"{plate}/A/3/1: left out. Well {plate}/A/3: found images" in shown
    assert f"failed for {plate}/A/5/1: " in shown
    assert f"{plate}/A/4/0: nothing else in its well" in shown
    np.testing.assert_array_equal(level_0(plate / "A/4/0"), alone)
    assert not (plate / "A/4/0/tables").exists()
