"""The tasks of the task list as commands."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fractal_task_tools.task_models import NonParallelTask

from fractal_tasks.cli import main
from fractal_tasks.dev import task_list
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.workflow.catalogue import TaskCommand, list_task_commands
from tests.cli.helpers import Capture

TYPES = {
    Path(task.executable).stem.replace("_", "-"): task.type
    for task in task_list.TASK_LIST
}


def test_list_names_every_task_with_its_type(capsys: Capture) -> None:
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {task["command"]: task["type"] for task in listed} == TYPES
    assert main(["list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(TYPES)


@pytest.mark.parametrize("command", list_task_commands(), ids=lambda c: c.name)
def test_every_task_loads_as_its_kind(command: TaskCommand) -> None:
    task = command.load()
    assert task.kind == command.type
    assert task.function.__name__ == command.function_name
    assert (task.init_function is not None) == (task.kind == "compound")


def test_non_parallel_task_is_a_command_like_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = NonParallelTask(
        name="Discover",
        executable="discovery/discover_images.py",
        output_types={"seen": True},
        docs_info=task_list.TASK_LIST[0].docs_info,
    )
    monkeypatch.setattr(task_list, "TASK_LIST", [task])
    (command,) = list_task_commands()
    assert command.name == "discover-images"
    assert command.type == "non_parallel"
    assert command.executable_init is None
    assert command.output_types == {"seen": True}


@pytest.mark.parametrize("kind", ["converter_compound", "converter_non_parallel"])
def test_converter_is_refused(kind: str) -> None:
    command = replace(list_task_commands()[0], type=kind)
    with pytest.raises(InvalidInputError, match=f"{kind}.*Fractal server"):
        command.load()
