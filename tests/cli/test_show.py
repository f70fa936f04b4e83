"""The command `show`, and `show` of Python, on wells, images, and what is not there."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import fractal_tasks as ft
from fractal_tasks.cli import main
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.workflow.overlay import Chosen, name_picture
from tests.cli.helpers import Capture, tree_hash
from tests.conftest import MakePlate
from tests.report.stages import calculated, judged, kept

TINY = {"acquisitions": 3, "channels": 1, "fields_x": 2}


def show(capsys: Capture, *words: object) -> Path:
    assert main(["show", *map(str, words)]) == 0
    return Path(capsys.readouterr().out.strip())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the user is in."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


def test_picture_is_named_by_what_it_shows(
    make_plate: MakePlate, folder: Path, capsys: Capture
) -> None:
    plate = make_plate(**TINY, then=[calculated, judged, kept])
    before = tree_hash(plate)
    well = show(capsys, plate / "A/01")
    one = show(capsys, plate / "A/01", "--roi", "FOV_1", "--acquisition", 2)
    assert (str(well), str(one)) == (
        "plate_A01.png",
        "plate_A01_FOV_1_acquisition_2.png",
    )
    with Image.open(folder / well) as whole, Image.open(folder / one) as part:
        assert whole.format == part.format == "PNG"
        assert whole.mode == part.mode == "RGB"
    assert tree_hash(plate) == before
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        map(str, (well, one))
    )


def test_well_has_a_row_per_acquisition(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY, then=[calculated])
    one, both = (ft.show(plate / url) for url in ("A/01/1", "A/01"))
    assert both.width == one.width
    assert both.height > 1.5 * one.height


def test_output_is_replaced_and_told_as_json(
    make_plate: MakePlate, folder: Path, capsys: Capture
) -> None:
    plate = make_plate(**TINY, then=[calculated])
    output = folder / "mine.png"
    output.write_text("older")
    words = ["show", str(plate / "A/01/1"), "--output", str(output), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == {"picture": str(output)}
    with Image.open(output) as picture:
        assert picture.mode == "RGB"


@pytest.mark.parametrize(
    ("name", "kind"), [("a.jpg", "JPEG"), ("b.PNG", "PNG"), ("c.tif", "TIFF")]
)
def test_picture_has_the_format_of_its_ending(
    make_plate: MakePlate, folder: Path, capsys: Capture, name: str, kind: str
) -> None:
    plate = make_plate(**TINY, then=[calculated])
    with Image.open(show(capsys, plate / "A/01/1", "--output", name)) as picture:
        assert picture.format == kind


def test_names_of_rois_never_collide() -> None:
    chosen = Chosen((parse_image_url("/data/plate.zarr/A/01/1"),), {})
    names = [name_picture(chosen, roi, None) for roi in ("a/b", "a_b")]
    assert names == ["1_a%2Fb.png", "1_a_b.png"]


@pytest.mark.parametrize(
    ("where", "words", "message"),
    [
        ("A/01", ("--roi", "FOV_7"), "it has ['FOV_1', 'FOV_2']"),
        ("A/01", ("--acquisition", "7"), "found the acquisitions [0, 1, 2]"),
        ("A/01", ("--acquisition", "0"), "acquisition 0 is the reference, which"),
        ("A/01/0", (), "each other acquisition; there are [1, 2]"),
        ("", (), "found a plate of 2 wells, A/01, A/02"),
        ("A/01", ("--output", "{plate}/a.png"), "is inside"),
        ("A/01", ("--output", "a.gif"), "found the ending '.gif'; needed is one of"),
        ("A/01", ("--output", "none/a.png"), "is no folder that can be written"),
    ],
    ids=[
        "ROI",
        "acquisition",
        "reference",
        "image",
        "plate",
        "inside",
        "format",
        "folder",
    ],
)
def test_what_is_there_is_named(
    make_plate: MakePlate,
    folder: Path,
    capsys: Capture,
    where: str,
    words: tuple[str, ...],
    message: str,
) -> None:
    plate = make_plate(**TINY, columns=2, then=[calculated])
    own = [word.format(plate=plate) for word in words]
    assert main(["show", str(plate / where), *own]) == 2
    assert message in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_image_that_left_its_plate_has_no_reference(
    make_plate: MakePlate, folder: Path, capsys: Capture
) -> None:
    """It has no well, the metadata of which could be mended."""
    plate = make_plate(**TINY, then=[calculated, judged])
    for name, path in (("mon.zarr", "0"), ("tue.zarr", "1")):
        shutil.copytree(plate / "A/01" / path, folder / name)
    assert main(["show", str(folder / "tue.zarr")]) == 1
    shown = capsys.readouterr().err
    assert f"its tables name {folder}/0, which is gone" in shown
    assert "Register it with --reference" in shown
    assert main(["show", str(folder / "mon.zarr")]) == 2
    shown = capsys.readouterr().err
    assert "it is the reference, which is drawn with each other acquisition." in shown


def test_python_gives_a_picture_that_notebooks_show(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY, then=[calculated])
    picture = ft.show(plate / "A/01", roi="FOV_2", acquisition=1)
    assert picture._repr_png_().startswith(b"\x89PNG")
    by_image = ft.show(plate / "A/01/1", roi="FOV_2")
    assert by_image.tobytes() == picture.tobytes()
    with pytest.raises(InvalidInputError, match="FOV_9"):
        ft.show(plate / "A/01", roi="FOV_9")
