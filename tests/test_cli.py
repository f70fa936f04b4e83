"""The command line, run in this process."""

import hashlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.cli import build_app, main
from fractal_tasks.cli.catalogue import list_task_commands
from fractal_tasks.cli.task_commands import make_task_command
from fractal_tasks.runner import Task, user_parameters
from fractal_tasks.storage.applied import read_applied_record
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import PlateOptions
from tests import fake_tasks
from tests.conftest import MakePlate

COMMANDS = {command.name: command for command in list_task_commands()}
OUTPUT_FLAGS = {"--quiet", "--log-level", "--json", "--workers"}
IN_PROCESS = ["--workers", "1"]
CHANNEL = ["--wavelength-id", "A01_C01"]

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    return make_plate()


def flags_of(*command: str) -> dict[str, Any]:
    """Give the first spelling of every flag of a command, and its default."""
    app = build_app()
    for name in command:
        app = app[name]
    return {
        argument.names[0]: argument.field_info.default
        for argument in app.assemble_argument_collection()
        if argument.names[0].startswith("--")
    }


def flag(parameter: str) -> str:
    return "--" + parameter.replace("_", "-")


def tree_hash(folder: Path) -> str:
    """Hash names, content and time of change of everything below a folder."""
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        state.update(f"{path} {path.stat().st_mtime_ns}".encode() + content)
    return state.hexdigest()


def test_help_starts_without_the_heavy_libraries() -> None:
    code = (
        "import sys; from fractal_tasks.cli import main; main(['--help']); "
        "heavy = {'ngio', 'zarr', 'numpy', 'scipy', 'dask', 'fractal_tasks.tasks'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stderr.strip() == "[]"
    for command in ("register", "demo-plate", "manifest", *COMMANDS):
        assert command in run.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_of_a_task_has_a_flag_and_every_flag_a_parameter(
    name: str,
) -> None:
    expected = {
        flag(parameter): info.default
        for function in COMMANDS[name].load().functions
        for parameter, info in user_parameters(function).items()
    }
    found = flags_of(name)
    simple = {key for key in found if "." not in key} - OUTPUT_FLAGS - {"--zarr-url"}
    assert simple == set(expected)
    for key in simple - {"--method"}:
        if expected[key] is not inspect.Parameter.empty:
            assert found[key] == expected[key], key


def test_register_has_the_flags_of_all_its_tasks() -> None:
    expected = {key for name in COMMANDS for key in flags_of(name)}
    assert set(flags_of("register")) == expected | {"--dry-run"}


def test_demo_plate_has_a_flag_for_every_option() -> None:
    options = {flag(name) for name in PlateOptions.model_fields}
    assert set(flags_of("demo-plate")) == options | OUTPUT_FLAGS - {"--workers"} | {
        "--path"
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"strength": "sharp"}, {"strength": fake_tasks.Sharp()}),
        (
            {"strength": "sharp", "strength__edge_px": 7},
            {"strength": fake_tasks.Sharp(edge_px=7)},
        ),
        (
            {"strength__sigma_um": 0.5, "clip": False},
            {"strength": fake_tasks.Smooth(sigma_um=0.5), "clip": False},
        ),
    ],
    ids=["nothing", "type", "type and field", "field of the default"],
)
def test_flags_of_a_choice_of_models_become_one_of_them(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    from fractal_tasks.cli.flags import collect_arguments

    assert collect_arguments([fake_tasks.filter_image], given) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["calculate-registration", "p.zarr"], "--wavelength-id"),
        (["calculate-registration", *CHANNEL], "zarr-url"),
        (["register", "p.zarr", *CHANNEL, "--keep", "union"], "--keep"),
        (["register", "p.zarr", *CHANNEL, "--colour", "red"], "--colour"),
        (
            ["register", "p.zarr", *CHANNEL, "--min-confidence", "2"],
            "--min-confidence 2.0: Input should be less than or equal to 1",
        ),
        (
            ["register", "p.zarr", *CHANNEL, "--method.min-overlap", "3"],
            "--method.min-overlap 3.0: Input should be less than or equal to 1",
        ),
        (["register", "p.zarr", *CHANNEL, "--workers", "0"], "--workers 0: Input"),
        (["demo-plate", "p", "--levels", "1"], "--levels '1': Input should be greater"),
        (["demo-plate", "p", "--z-shift-um", "2"], "needs planes > 1"),
        (["register", "no/such.zarr", *CHANNEL], "found no Zarr group"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_wrong_usage_is_code_2_and_names_the_flag_in_one_line(
    arguments: list[str], message: str, capsys: Capture
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "pydantic" not in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_field_of_another_model_is_wrong_usage() -> None:
    from fractal_tasks.cli.flags import collect_arguments
    from fractal_tasks.errors import InvalidInputError

    given = {"strength": "sharp", "strength__sigma_um": 1.0}
    with pytest.raises(InvalidInputError, match=r"--strength.sigma-um is no parameter"):
        collect_arguments([fake_tasks.filter_image], given)


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
        assert record["registered_roi_table"] == "FOV_ROI_table_registered"
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


def test_list_names_every_task_with_its_type(capsys: Capture) -> None:
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {task["command"]: task["type"] for task in listed} == {
        "calculate-registration": "compound",
        "find-registration-consensus": "compound",
        "apply-registration-to-image": "parallel",
    }
    assert main(["list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_demo_plate_writes_a_plate_once(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "demo.zarr"
    options = ["--field-size-px", "64", "--levels", "3", "--acquisitions", "2"]
    options += ["--fields-x", "1", "--fields-y", "1", "--channels", "1"]
    assert main(["demo-plate", str(path), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"plate": str(path)}
    assert sorted(image.name for image in path.glob("A/01/?")) == ["0", "1"]
    assert main(["demo-plate", str(path), *options]) == 2
    assert "already exists" in capsys.readouterr().err


def test_manifest_check_passes_in_this_checkout(capsys: Capture) -> None:
    assert main(["manifest", "check"]) == 0
    assert "is up to date" in capsys.readouterr().out


def test_command_of_a_parallel_task_needs_no_reference(plate: Path) -> None:
    command = make_task_command(Task("Filter", fake_tasks.filter_image))
    names = inspect.signature(command).parameters
    assert "strength__sigma_um" in names
    assert "reference_acquisition" not in names


def run_as_file(folder: Path, executable: str, **arguments: Any) -> Any:
    """Run a task module as a Fractal server does, and give what it returned."""
    import fractal_tasks

    given, out = folder / "args.json", folder / "out.json"
    given.write_text(json.dumps(arguments))
    out.unlink(missing_ok=True)
    script = Path(fractal_tasks.__file__).parent / "tasks" / executable
    command = [sys.executable, str(script)]
    command += ["--args-json", str(given), "--out-json", str(out)]
    subprocess.run(command, capture_output=True, check=True)
    return json.loads(out.read_text())


def test_tasks_run_as_files(plate: Path, tmp_path: Path) -> None:
    """With the name of a method as text, as older workflows give it."""
    output = run_as_file(
        tmp_path,
        "init_calculate_registration.py",
        zarr_urls=[f"{plate}/A/01/0", f"{plate}/A/01/2"],
        zarr_dir=str(tmp_path),
        reference_acquisition=0,
    )
    unit = {
        "zarr_url": f"{plate}/A/01/2",
        "init_args": {"reference_zarr_url": f"{plate}/A/01/0"},
    }
    assert output == {"parallelization_list": [unit]}
    output = run_as_file(
        tmp_path,
        "calculate_registration.py",
        **unit,
        wavelength_id="A01_C01",
        method="phase_cross_correlation",
    )
    assert output is None
