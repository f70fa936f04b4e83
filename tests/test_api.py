"""What a notebook calls, and what it shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fractal_tasks as ft
from fractal_tasks.errors import InvalidInputError
from tests.conftest import MakePlate
from tests.plain_plates import make_scene, see, write_image

SHIFT_PX = (5, -7)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two views of a scene: a reference, and one in which all has moved."""
    scene = make_scene(4)
    fixed = write_image(tmp_path / "fixed.zarr", see(scene)[None])
    moved = write_image(tmp_path / "moved.zarr", see(scene, SHIFT_PX, noise=1)[None])
    return fixed, moved


def test_plate_is_registered_and_its_table_has_a_row_per_roi(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    for _ in range(2):
        result = ft.register(
            plate, wavelength_id="A01_C01", overwrite_input=False, progress=False
        )
        assert result.images == [f"{plate}/A/01/{path}_registered" for path in "012"]
        assert not result.failures
        assert list(result.table["roi"]) == 3 * ["FOV_1", "FOV_2"]
        statuses = ["reference"] * 2 + ["measured"] * 4
        assert list(result.table["status"]) == statuses
        html = result._repr_html_()
        assert "3 registered images, 6 ROIs" in html
        assert html.count("<table") == 2


def test_images_are_registered_in_three_steps_as_in_one(
    pair: tuple[Path, Path],
) -> None:
    fixed, moved = pair
    same = {"images": [moved], "reference": fixed, "progress": False}
    found = ft.calculate(
        **same | {"images": moved},
        wavelength_id=0,
        acquisition_wavelength_ids={"moved": 0},
    )
    assert not found.images
    (row,) = found.table.to_dict("records")
    # A translation brings back what has moved, by pixels of 0.5 um.
    assert (row["shift_y_px"], row["shift_x_px"]) == pytest.approx((-5, 7), abs=0.2)
    assert (row["shift_y_um"], row["shift_x_um"]) == pytest.approx((-2.5, 3.5), abs=0.1)
    (row,) = ft.consensus(**same).table.to_dict("records")
    assert row["status"] == "measured"
    table = "FOV_ROI_table_registered"
    applied = ft.apply(moved, registered_roi_table=table, progress=False)
    assert applied.images == [str(moved)]
    assert ft.register(**same, wavelength_id="0").images == [str(moved)]


def test_progress_counts_the_units_of_each_task(
    pair: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    fixed, moved = pair
    ft.register(moved, reference=fixed, wavelength_id="0")
    shown = capfd.readouterr().err
    for title in ("Calculate", "Find Registration Consensus", "Apply Registration"):
        assert re.search(rf"{title}[^\r]*1/1", shown)


def test_arguments_that_no_task_has_and_missing_ones_are_named(
    pair: tuple[Path, Path],
) -> None:
    fixed, moved = pair
    with pytest.raises(InvalidInputError, match=r"\['wavelength'\].*'wavelength_id'"):
        ft.register(moved, reference=fixed, wavelength="0")
    with pytest.raises(InvalidInputError, match="no urls"):
        ft.register(wavelength_id="0")
    with pytest.raises(InvalidInputError, match=r"Found \[.*needed are urls or paths"):
        ft.register([moved], wavelength_id="0")
    with pytest.raises(InvalidInputError, match="level_path='coarse'"):
        ft.register(moved, reference=fixed, wavelength_id="0", level_path="coarse")


def test_failure_is_in_the_result_and_in_the_log(
    pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    fixed, moved = pair
    (moved / "0/.zarray").write_text("{")
    result = ft.register(moved, reference=fixed, wavelength_id="0", progress=False)
    assert list(result.failures) == [str(moved)]
    assert "moved.zarr" in result.failures[str(moved)]
    assert str(moved) in caplog.text
    assert str(moved) in result._repr_html_()
    assert result.images == []
    assert result.table.empty


def test_importing_the_package_imports_nothing_of_it() -> None:
    code = (
        "import sys; before = set(sys.modules); import fractal_tasks; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "own = [name for name in sys.modules if name.startswith('fractal_tasks.')]; "
        "print(own, sorted(new & {'numpy', 'pydantic', 'zarr', 'pandas', 'tqdm'}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[] []"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (
            {"wavelength_id": [0]},
            r"wavelength_id=\[0\]: Input should be a valid string",
        ),
        (
            {"keep": "all"},
            "keep='all': Input should be 'intersection', 'reference' or 'union'",
        ),
        ({"method": "foo"}, "'phase_cross_correlation', 'chi2_shift'"),
        ({"workers": -1}, "workers=-1: needed is a number of processes"),
        ({"colour": "red"}, r"Found unknown arguments \['colour'\]; there are"),
    ],
)
def test_values_that_do_not_fit_are_named(
    tmp_path: Path, arguments: dict[str, object], found: str
) -> None:
    with pytest.raises(InvalidInputError, match=found):
        ft.register(tmp_path, **{"wavelength_id": "A01_C01", **arguments})
