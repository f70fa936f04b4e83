"""Running tasks locally as a Fractal server does."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.runner import (
    Engine,
    ImageEntry,
    Place,
    Task,
    TaskFunction,
    TaskKind,
    TaskResult,
    open_engine,
    run_task,
)
from fractal_tasks.runner.results import TooManyFailuresError
from tests import fake_tasks

URLS = [f"/data/plate.zarr/B/03/{path}" for path in ("0", "1", "2")]
PAIRS = Task("Pairs", fake_tasks.note_call, "compound", fake_tasks.init_pairs)


def run_in_process(
    task: Task, images: Iterable[ImageEntry | str], **arguments: object
) -> TaskResult:
    with open_engine(Place(), 1) as engine:
        return run_task(task, images, arguments, engine=engine)


def test_compound_task_runs_init_then_each_unit_with_its_init_args(
    tmp_path: Path,
) -> None:
    result = run_in_process(
        PAIRS, URLS, notes=str(tmp_path), factor=5.0, reference_acquisition=2
    )
    calls = sorted(
        json.loads(note.read_text())["zarr_url"] for note in tmp_path.iterdir()
    )
    assert calls == URLS[1:]
    for note in tmp_path.iterdir():
        call = json.loads(note.read_text())
        assert call["factor"] == 5.0
        assert call["init_args"] == {"folder": "/data", "first": URLS[2]}
    assert [unit.zarr_url for unit in result.units] == URLS[1:]
    assert result.zarr_urls == URLS


def test_units_run_in_worker_processes(tmp_path: Path) -> None:
    with open_engine(Place(), 2) as engine:
        run_task(PAIRS, URLS, {"notes": str(tmp_path)}, engine=engine)
    processes = {note.name.split("-")[0] for note in tmp_path.iterdir()}
    assert str(os.getpid()) not in processes


@pytest.mark.parametrize("workers", [1, 2])
def test_warnings_of_units_come_back_and_are_in_the_log_of_this_process(
    workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    with open_engine(Place(), workers) as engine:
        task = Task("Warn", fake_tasks.warn)
        result = run_task(task, URLS[:2], {}, engine=engine)
    dust = [f"{url}: dust" for url in URLS[:2]]
    assert result.warnings == ["the light is on", *dust]
    assert [unit.warnings[1] for unit in result.units] == dust
    logged = [record.getMessage() for record in caplog.records]
    assert sorted(logged) == sorted([*dust, *["the light is on"] * 2])


def test_warnings_of_the_init_function_come_back_with_the_result() -> None:
    task = Task("W", fake_tasks.note_call, "compound", fake_tasks.init_with_a_warning)
    assert run_in_process(task, URLS, notes="").warnings == ["no units"]


@pytest.mark.parametrize("workers", [1, 2])
def test_failing_unit_is_named_and_the_others_still_finish(workers: int) -> None:
    task = Task("Some", fake_tasks.fail_for_images_ending_in_1)
    with open_engine(Place(), workers) as engine:
        result = run_task(task, URLS, {}, engine=engine)
    (failure,) = result.failures
    assert failure.zarr_url == URLS[1]
    assert failure.message == f"{URLS[1]}: found a scratch. Polish it."
    assert "fail_for_images_ending_in_1" in failure.details
    assert [unit.zarr_url for unit in result.units] == URLS
    # The order is that of the units, whichever ended first.
    assert result.zarr_urls == [URLS[1], f"{URLS[0]}_new", f"{URLS[2]}_new"]


def test_error_that_is_a_bug_is_shown_with_its_type() -> None:
    result = run_in_process(Task("Bug", fake_tasks.divide_by_zero), URLS[:1])
    assert result.failures[0].message == "ZeroDivisionError: division by zero"


def test_worker_process_that_ends_costs_its_unit_one_more_try_and_others_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = Task("Killed", fake_tasks.end_the_first_time)
    with open_engine(Place(), 2) as engine:
        result = run_task(task, URLS, {"notes": str(tmp_path)}, engine=engine)
    assert not result.failures
    (line,) = (one for one in caplog.messages if "runs once more" in one)
    assert line.startswith(URLS[1])


def test_worker_process_that_ends_twice_is_a_failure_of_its_unit() -> None:
    killed = Task("Killed", fake_tasks.end_the_process)
    with open_engine(Place(), 2) as engine:
        result = run_task(killed, URLS[:1], {}, engine=engine)
        # The next unit has a process of its own.
        later = run_task(Task("Warn", fake_tasks.warn), URLS[1:], {}, engine=engine)
    assert "fewer workers" in result.failures[0].message
    assert not later.failures


def test_no_unit_begins_after_more_failures_than_allowed(tmp_path: Path) -> None:
    task = Task("Bug", fake_tasks.note_and_fail)
    arguments = {"notes": str(tmp_path)}
    with pytest.raises(TooManyFailuresError, match=rf"max_failures=1.*\n{URLS[0]}"):
        run_task(task, URLS, arguments, engine=Engine(), max_failures=1)
    assert [note.name for note in sorted(tmp_path.iterdir())] == ["0", "1"]


def test_output_that_a_server_refuses_is_a_failure() -> None:
    result = run_in_process(Task("Odd", fake_tasks.give_unknown_output), URLS[:1])
    assert "new_images" in result.failures[0].message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"notes": "x", "colour": "red"}, "colour"), ({}, "missing arguments.*notes")],
    ids=["unknown", "missing"],
)
def test_arguments_are_checked_before_anything_runs(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        run_in_process(PAIRS, URLS, **arguments)


def test_progress_is_told_before_the_first_and_after_every_unit() -> None:
    seen: list[tuple[int, int]] = []
    task = Task("Some", fake_tasks.fail_for_images_ending_in_1)

    def note(done: int, total: int) -> None:
        seen.append((done, total))

    with open_engine(Place(), 1) as engine:
        run_task(task, URLS, {}, engine=engine, progress=note)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("workers", [1, 2])
def test_non_parallel_task_is_one_unit_over_all_images(
    workers: int, tmp_path: Path
) -> None:
    urls = [f"{tmp_path}/plate.zarr/B/03/{path}" for path in "012"]
    task = Task("List", fake_tasks.list_images, kind="non_parallel")
    with open_engine(Place(), workers) as engine:
        result = run_task(task, urls, {"name": "mine"}, engine=engine)
    (unit,) = result.units
    assert (unit.name, unit.zarr_url, unit.error) == (str(tmp_path), None, None)
    assert result.zarr_urls == urls
    (note,) = tmp_path.glob("mine-*.json")
    assert json.loads(note.read_text()) == urls
    here = note.stem == f"mine-{os.getpid()}"
    assert here == (workers == 1)


def test_failure_of_a_non_parallel_task_is_reported_like_that_of_any_unit() -> None:
    task = Task("Report", fake_tasks.report_with_an_error, kind="non_parallel")
    result = run_in_process(task, URLS)
    (failure,) = result.failures
    assert failure.name == "/data"
    assert failure.message == "no ink. Buy some."
    assert result.zarr_urls == URLS


def test_non_parallel_task_without_images_does_nothing() -> None:
    task = Task("Report", fake_tasks.report_with_an_error, kind="non_parallel")
    assert run_in_process(task, []).units == []


@pytest.mark.parametrize(
    ("kind", "init"),
    [("compound", None), ("parallel", fake_tasks.init_pairs)],
    ids=["missing", "one too many"],
)
def test_init_function_belongs_to_compound_tasks(
    kind: TaskKind, init: TaskFunction | None
) -> None:
    with pytest.raises(InvalidInputError, match="init function"):
        Task("Odd", fake_tasks.note_call, kind, init)


def test_new_image_inherits_from_its_origin_and_gets_the_types_of_the_task() -> None:
    first = ImageEntry(
        URLS[0], types={"raw": True}, attributes={"well": "B03", "acquisition": 0}
    )
    task = Task(
        "Merge", fake_tasks.merge_images, "non_parallel", output_types={"raw": False}
    )
    result = run_in_process(task, [first, *URLS[1:]])
    assert result.images == [
        first,
        ImageEntry(
            f"{URLS[0]}_merged",
            origin=URLS[0],
            types={"raw": False, "merged": True},
            attributes={"well": "B03", "plate": "p"},
        ),
    ]


def test_task_that_returns_nothing_gives_its_types_to_all_images() -> None:
    images = [
        ImageEntry(URLS[0], types={"seen": False, "raw": True}),
        ImageEntry(URLS[1]),
    ]
    task = Task(
        "Look", fake_tasks.filter_image, output_types={"seen": True, "blurred": False}
    )
    result = run_in_process(task, images)
    types = {"seen": True, "blurred": False}
    assert [image.types for image in result.images] == [{"raw": True, **types}, types]


def test_failed_task_gives_no_types() -> None:
    task = Task("Bug", fake_tasks.divide_by_zero, output_types={"seen": True})
    assert run_in_process(task, URLS).images == [ImageEntry(url) for url in URLS]


def test_removal_of_an_image_that_is_not_in_the_list_is_a_failure() -> None:
    result = run_in_process(Task("Odd", fake_tasks.remove_stranger), URLS[:1])
    assert "_stranger" in result.failures[0].message
    assert result.zarr_urls == URLS[:1]


@pytest.mark.parametrize(
    ("workers", "units", "each"), [(4, 2, 2), (4, 3, 1), (1, 1, 1)]
)
def test_units_share_the_cpus(
    tmp_path: Path, workers: int, units: int, each: int
) -> None:
    task = Task("Cpus", fake_tasks.note_cpus)
    arguments = {"notes": str(tmp_path)}
    run_task(task, URLS[:units], arguments, engine=Engine(cpus=workers))
    assert [note.read_text() for note in tmp_path.iterdir()] == [str(each)] * units
