"""The commands that run tasks, in this process."""

import inspect
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fractal_tasks.cli import main
from fractal_tasks.cli.output import RunOptions
from fractal_tasks.cli.task_commands import make_register_command, make_task_command
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.runner import Task
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table, replace_roi_table
from fractal_tasks.storage.urls import parse_image_url
from tests import fake_tasks
from tests.cli.helpers import CHANNEL, IN_PROCESS, Capture, tree_hash
from tests.conftest import MakePlate

REPORT = Task("Report", fake_tasks.report_with_an_error, kind="non_parallel")


def test_register_registers_a_plate_and_a_second_run_finds_nothing_to_do(
    plate: Path, capsys: Capture
) -> None:
    arguments = ["register", str(plate), *CHANNEL, *IN_PROCESS, "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert [len(task["units"]) for task in result["tasks"]] == [2, 1, 3]
    urls = [f"{plate}/A/01/{path}" for path in "012"]
    assert result["zarr_urls"] == urls
    statuses = [(one["zarr_url"], one["status"]) for one in result["rois"]]
    expected = zip(urls, ("reference", "measured", "measured"), strict=True)
    assert statuses == [one for one in expected for _ in range(2)]
    for url in urls:
        record = read_applied_record(parse_image_url(url))
        assert record is not None
        assert record.settings["registered_roi_table"] == "FOV_ROI_table_registered"
    before = tree_hash(plate)
    assert main(arguments) == 0
    nothing = json.loads(capsys.readouterr().out)
    done = {"tasks", "left_out", "zarr_urls"}
    assert not any(nothing[key] for key in done)
    # What became of the images is told again.
    assert nothing == {
        key: nothing[key] if key in done else result[key] for key in result
    }
    assert tree_hash(plate) == before


def test_tasks_one_by_one_find_the_reference_and_show_nothing_if_quiet(
    plate: Path, capsys: Capture
) -> None:
    quiet = [*IN_PROCESS, "--quiet"]
    for path in "12":
        url = f"{plate}/A/01/{path}"
        assert main(["calculate-registration", url, *CHANNEL, *quiet]) == 0
    assert main(["find-registration-consensus", str(plate), *quiet]) == 0
    table = ["--registered-roi-table", "FOV_ROI_table_registered"]
    apply = ["apply-registration-to-image", f"{plate}/A/01/2", *table, *quiet]
    assert main(apply) == 0
    assert capsys.readouterr() == ("", "")
    assert read_applied_record(parse_image_url(f"{plate}/A/01/2")) is not None
    assert read_applied_record(parse_image_url(f"{plate}/A/01/1")) is None


def test_failed_task_is_code_1_and_names_unit_and_reason(
    plate: Path, capsys: Capture
) -> None:
    before = tree_hash(plate)
    arguments = ["apply-registration-to-image", str(plate), *IN_PROCESS]
    arguments += ["--registered-roi-table", "missing"]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    for path in "012":
        assert f"Image failed for {plate}/A/01/{path}: " in shown.err
    assert "'missing'" in shown.err
    assert "Traceback" not in shown.err
    assert "0 of 3 done" in shown.out
    assert main([*arguments, "--log-level", "debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert tree_hash(plate) == before


def test_well_that_fails_is_left_out_of_the_next_tasks(
    make_plate: MakePlate, capsys: Capture
) -> None:
    plate = make_plate(columns=2)
    # Nobody looks at pixels before they are needed.
    for chunk in (plate / "A/01/1/2").rglob("[0-9]"):
        if chunk.is_file():
            chunk.write_bytes(b"")
    arguments = ["register", str(plate), *CHANNEL, *IN_PROCESS, "--json"]
    assert main(arguments) == 1
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    failed = [unit for unit in tasks[0]["units"] if unit["error"]]
    assert [unit["zarr_url"] for unit in failed] == [f"{plate}/A/01/1"]
    assert failed[0]["error"]["type"] == "InvalidDataError"
    assert [unit["zarr_url"] for unit in tasks[2]["units"]] == [
        f"{plate}/A/02/{path}" for path in "012"
    ]


def test_failure_of_a_non_parallel_task_names_the_dataset(
    plate: Path, capsys: Capture
) -> None:
    command = make_task_command(REPORT)
    assert command(str(plate), options=RunOptions(workers=1, json=True)) == 1
    shown = capsys.readouterr()
    assert f"Report failed for {plate.parent}: no ink" in shown.err
    (task,) = json.loads(shown.out)["tasks"]
    (unit,) = task["units"]
    assert unit["zarr_url"] is None
    assert unit["error"]["type"] == "InvalidDataError"


def test_failure_of_a_non_parallel_task_leaves_no_well_out(
    plate: Path, capsys: Capture
) -> None:
    filtering = Task("Filter", fake_tasks.filter_image)
    command = make_register_command([REPORT, filtering])
    assert command(str(plate), options=RunOptions(workers=1, json=True)) == 1
    _, filtered = json.loads(capsys.readouterr().out)["tasks"]
    assert [unit["zarr_url"] for unit in filtered["units"]] == [
        f"{plate}/A/01/{path}" for path in "012"
    ]


def judged_by_hand(plate: Path, statuses: Sequence[str]) -> None:
    """Write the registered tables of the first two images of a well."""
    for path, status in zip("01", statuses, strict=True):
        url = parse_image_url(f"{plate}/A/01/{path}")
        table = read_roi_table(open_image(url), "FOV_ROI_table")
        columns = {"registration_status": status, "registration_kept": 0.5}
        rois = [roi.model_copy(update=columns) for roi in table.rois.values()]
        name = "FOV_ROI_table_registered"
        replace_roi_table(url, name, rois=rois, meta=table.meta, record={})


@pytest.mark.parametrize(("status", "code"), [("unresolved", 1), ("imputed", 0)])
def test_acquisition_of_a_well_with_nothing_resolved_is_code_1(
    plate: Path, capsys: Capture, status: str, code: int
) -> None:
    judged_by_hand(plate, ("reference", status))
    command = make_register_command([Task("Warn", fake_tasks.warn)])
    assert command(str(plate), options=RunOptions(workers=1)) == code
    shown = capsys.readouterr()
    assert "Warn: 3 of 3 done" in shown.out
    lost = "Error: Nothing is resolved in 1 of 1: A/01 acquisition 1."
    assert (lost in shown.err) == bool(code)


def test_warnings_are_repeated_once_after_the_progress(
    plate: Path, capsys: Capture
) -> None:
    command = make_task_command(Task("Warn", fake_tasks.warn))
    assert command(str(plate), options=RunOptions(workers=1, json=True)) == 0
    shown = capsys.readouterr()
    _, repeated = shown.err.split("4 warnings:\n")
    dust = [f"{plate}/A/01/{path}: dust" for path in "012"]
    expected = ["the light is on", *dust]
    assert repeated.splitlines() == [f"- {text}" for text in expected]
    assert json.loads(shown.out)["tasks"][0]["warnings"] == expected
    assert command(str(plate), options=RunOptions(workers=1, quiet=True)) == 0
    assert capsys.readouterr() == ("", "")


def test_results_go_to_json_and_csv(
    plate: Path, tmp_path: Path, capsys: Capture
) -> None:
    judged_by_hand(plate, ("reference", "measured"))
    command = make_register_command([Task("Warn", fake_tasks.warn)])
    file = tmp_path / "results.csv"
    options = RunOptions(workers=1, json=True)
    assert command(str(plate), options=options, csv=file) == 0
    result = json.loads(capsys.readouterr().out)
    assert [one["acquisition"] for one in result["acquisitions"]] == [0, 1]
    assert [(one["well"], one["measured"]) for one in result["wells"]] == [("A/01", 2)]
    # Two fields of the reference and of the acquisition; the third was not judged.
    assert len(result["rois"]) == 2 * 2
    assert len(file.read_text().splitlines()) == 1 + 2 * 2


def test_csv_in_a_folder_that_is_missing_is_code_2(
    plate: Path, capsys: Capture
) -> None:
    before = tree_hash(plate)
    arguments = ["register", str(plate), *CHANNEL, "--csv", str(plate / "no" / "x.csv")]
    assert main(arguments) == 2
    assert "--csv" in capsys.readouterr().err
    assert tree_hash(plate) == before


def test_missing_reference_is_code_1(plate: Path, capsys: Capture) -> None:
    arguments = ["register", str(plate), *CHANNEL, "--reference-acquisition", "7"]
    assert main(arguments) == 1
    assert "--reference-acquisition 7" in capsys.readouterr().err


def test_dry_run_tells_what_changes_and_changes_nothing(
    plate: Path, capsys: Capture
) -> None:
    before = tree_hash(plate.parent)
    arguments = ["register", str(plate), *CHANNEL, "--dry-run"]
    assert main([*arguments, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    reference, moved, _ = plan["images"]
    assert reference["role"] == "reference"
    assert reference["replaces"] == [f"{plate}/A/01/0"]
    assert moved["replaces"] == [
        f"{plate}/A/01/1/tables/FOV_ROI_table",
        f"{plate}/A/01/1",
    ]
    assert moved["writes"] == [f"{plate}/A/01/1/tables/FOV_ROI_table_registered"]
    assert moved["labels"] == ["nuclei"]
    assert plan["rois"] == 3 * 2
    assert plan["size_bytes"] == sum(
        file.stat().st_size for file in plate.glob("A/01/?/**/*") if file.is_file()
    )
    assert main([*arguments, "--no-overwrite-input"]) == 0
    assert f"new      {plate}/A/01/1_registered\n" in capsys.readouterr().out
    assert tree_hash(plate.parent) == before


def test_dry_run_finds_a_wrong_argument(plate: Path, capsys: Capture) -> None:
    arguments = ["register", str(plate), "--wavelength-id", "A09_C09", "--dry-run"]
    assert main(arguments) == 2
    assert "A09_C09" in capsys.readouterr().err


def test_command_of_a_parallel_task_needs_no_reference(plate: Path) -> None:
    command = make_task_command(Task("Filter", fake_tasks.filter_image))
    names = inspect.signature(command).parameters
    assert "strength__sigma_um" in names
    assert "reference_acquisition" not in names
