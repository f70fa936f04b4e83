"""`register` asks before it replaces images, and bars are drawn in a terminal only."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from fractal_tasks.cli import main
from fractal_tasks.cli.progress import say, showing_steps
from fractal_tasks.errors import InvalidDataError
from fractal_tasks.runner import UnitResult
from tests.cli.helpers import CHANNEL, IN_PROCESS, Capture, tree_hash
from tests.plain_plates import make_scene, see, write_image, write_plate


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    plate = write_plate(tmp_path / "p.zarr", {"A/1": {"0": 0, "1": 1}})
    for path in "01":
        write_image(plate / "A/1" / path, see(make_scene(1))[None])
    return plate


def sit_at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    keyboard = io.StringIO(answer)
    for stream in (keyboard, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", keyboard)


def test_nothing_is_changed_if_the_answer_is_no(
    plate: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    before = tree_hash(plate)
    sit_at_a_terminal(monkeypatch, "n\n")
    assert main(["register", str(plate), *CHANNEL, *IN_PROCESS]) == 1
    assert f"2 images of {plate} will be replaced" in capsys.readouterr().err
    assert tree_hash(plate) == before


@pytest.mark.parametrize("flag", ["--yes", "--no-overwrite-input"])
def test_nothing_is_asked_if_that_is_said_or_nothing_is_replaced(
    plate: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, flag: str
) -> None:
    """An answer that is asked for, and not there, would be an error."""
    sit_at_a_terminal(monkeypatch, "")
    assert main(["register", str(plate), *CHANNEL, *IN_PROCESS, flag]) == 0
    shown = capsys.readouterr().out
    assert ("The input is kept" in shown) == (flag != "--yes")


def draw(*, force_terminal: bool) -> str:
    """Give what is written while two of three units end, one of them badly."""
    console = Console(file=io.StringIO(), force_terminal=force_terminal, width=120)
    with (
        showing_steps(console, is_shown=True, rois={"a": 4, "b": 5}) as steps,
        steps.step("Task") as step,
    ):
        step.show(0, 2)
        step.finish(UnitResult("a", "a"))
        step.show(1, 2)
        say(console, f"Warning: {'dust ' * 40}end")
        step.finish(UnitResult("b", "b", error=InvalidDataError("scratch")))
        step.show(2, 2)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_nothing_but_the_log_is_written_where_there_is_no_terminal() -> None:
    assert draw(force_terminal=False) == f"Warning: {'dust ' * 40}end\n"


def test_bars_count_units_rois_and_failures_and_leave_warnings_whole() -> None:
    shown = draw(force_terminal=True)
    assert f"Warning: {'dust ' * 40}end" in shown
    assert "2/2, 9 ROIs, 1 failed" in shown


def test_step_with_a_failure_is_not_complete() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    with showing_steps(console, is_shown=True) as steps, steps.step("Task") as step:
        step.finish(UnitResult("a", "a", error=InvalidDataError("scratch")))
        step.show(1, 1)
        assert not steps.bars.tasks[0].finished
