"""The commands that run tasks, in this process."""

import inspect
import json
from pathlib import Path

from fractal_tasks.cli import main
from fractal_tasks.cli.output import RunOptions
from fractal_tasks.cli.task_commands import make_register_command, make_task_command
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.runner import Task
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
    for url in urls:
        record = read_applied_record(parse_image_url(url))
        assert record is not None
        assert record.settings["registered_roi_table"] == "FOV_ROI_table_registered"
    before = tree_hash(plate)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"tasks": [], "zarr_urls": []}
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
    (plate / "A/01/1/tables/FOV_ROI_table").rename(plate / "gone")
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


def test_missing_reference_is_code_1(plate: Path, capsys: Capture) -> None:
    arguments = ["register", str(plate), *CHANNEL, "--reference-acquisition", "7"]
    assert main(arguments) == 1
    assert "reference_acquisition=7" in capsys.readouterr().err


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
