"""The workflow files of the documentation fit the tasks of this version."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter

from fractal_tasks import __version__

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "docs" / "workflows").glob("*.json"))
SWITCH = ROOT / "docs" / "workflows" / "from_fractal_tasks_core.py"
EXPORTED = ROOT / "e2e" / "exported_fractal_tasks_core.json"
TASKS = {
    task["name"]: task
    for task in json.loads((ROOT / "task_manifest.json").read_text())["task_list"]
}
REPORT = "Registration Report"
"""A workflow ends with it, unless it comes from fractal-tasks-core, which has none."""

SERVER_ARGUMENTS = {"zarr_url", "zarr_urls", "zarr_dir", "init_args"}


def switch(workflow: dict[str, Any], folder: Path) -> dict[str, Any]:
    exported = folder / "exported.json"
    exported.write_text(json.dumps(workflow))
    run = subprocess.run(
        [sys.executable, SWITCH, exported], check=True, capture_output=True
    )
    switched: dict[str, Any] = json.loads(run.stdout)
    return switched


def check_steps(workflow: dict[str, Any], *further: str) -> None:
    """Check that a server finds each task and the task takes its arguments."""
    names = [step["task"]["name"] for step in workflow["task_list"]]
    assert names == [*(name for name in TASKS if name != REPORT), *further]
    for step in workflow["task_list"]:
        assert step["task"]["pkg_name"] == "fractal-tasks"
        assert step["task"]["version"] == __version__
        task = TASKS[step["task"]["name"]]
        for kind in ("non_parallel", "parallel"):
            arguments = step.get(f"args_{kind}") or {}
            schema = task.get(f"args_schema_{kind}", {"required": []})
            assert set(schema["required"]) - SERVER_ARGUMENTS <= set(arguments)
            if arguments:
                check_values(task[f"executable_{kind}"], arguments)


def check_values(executable: str, arguments: dict[str, Any]) -> None:
    name = Path(executable).stem
    function = getattr(importlib.import_module(f"fractal_tasks.tasks.{name}"), name)
    types = get_type_hints(function, include_extras=True)
    for argument, value in arguments.items():
        TypeAdapter(types[argument]).validate_python(value)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_workflow_file_fits_the_tasks(file: Path) -> None:
    check_steps(json.loads(file.read_text()), REPORT)


def test_workflow_files_differ_in_what_becomes_of_the_input() -> None:
    overwrite = {
        file.stem: json.loads(file.read_text())["task_list"][2]["args_parallel"][
            "overwrite_input"
        ]
        for file in FILES
    }
    assert overwrite == {"registration": True, "registration_keep_input": False}


def test_second_run_of_a_workflow_file_leaves_registered_images_alone() -> None:
    for file in FILES:
        calculate, consensus, *_ = json.loads(file.read_text())["task_list"]
        assert calculate["type_filters"] == consensus["type_filters"]
        assert calculate["type_filters"] == {"registered": False}


def test_exported_workflow_of_fractal_tasks_core_is_switched(tmp_path: Path) -> None:
    exported = json.loads(EXPORTED.read_text())
    switched = switch(exported, tmp_path)
    check_steps(switched)
    for before, after in zip(exported["task_list"], switched["task_list"], strict=True):
        assert after["args_non_parallel"] == before["args_non_parallel"]
        assert after["args_parallel"] == before["args_parallel"]
        assert after["meta_parallel"] is None


def test_other_tasks_of_the_workflow_are_left_as_they_are(tmp_path: Path) -> None:
    exported = json.loads(EXPORTED.read_text())
    core = {"pkg_name": "fractal-tasks-core", "version": "2.1.0"}
    others = [
        {"meta_parallel": {"mem": 4000}, "task": {**core, "name": name}}
        for name in ("Illumination Correction", "Measure Features")
    ]
    same_name = {**core, "pkg_name": "another", "name": "Find Registration Consensus"}
    others.append({"meta_parallel": {"mem": 1}, "task": same_name})
    exported["task_list"] += others
    assert switch(exported, tmp_path)["task_list"][3:] == others
