"""Help, the other commands, and tasks run as files."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.cli import build_app, main
from tests.cli.helpers import COMMANDS, Capture


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


@pytest.mark.parametrize(
    "command",
    [
        *((name,) for name in ("register", "inspect", "points", "demo", "list")),
        *((name,) for name in COMMANDS),
        ("demo-plate",),
        *(("manifest", name) for name in ("check", "write")),
        *(("transforms", name) for name in ("inspect", "export")),
    ],
    ids=" ".join,
)
def test_help_begins_with_an_example_that_can_be_parsed(
    command: tuple[str, ...], capsys: Capture
) -> None:
    assert main([*command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    example = re.match(r"Example: fractal-tasks (.*?) Usage: fractal-tasks", shown)
    assert example is not None
    words = shlex.split(example[1])
    assert tuple(words[: len(command)]) == command
    build_app().parse_args(words, exit_on_error=False, print_error=False)


def test_help_says_what_each_command_of_manifest_does(capsys: Capture) -> None:
    assert main(["manifest", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Check that the manifest" in shown
    assert "Write the manifest" in shown


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
