"""Units that run in a cluster of dask: real schedulers and workers on loopback."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from fractal_tasks.cli import main
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.runner import Place, Task, open_engine, run_task
from fractal_tasks.runner.results import UnitResult
from fractal_tasks.runner.run import SchedulerLostError
from tests import fake_tasks
from tests.cli.helpers import CHANNEL, IN_PROCESS
from tests.conftest import MakePlate

pytest.importorskip("distributed")

URLS = [f"/data/plate.zarr/B/03/{path}" for path in ("0", "1", "2")]

Process: TypeAlias = "subprocess.Popen[str]"
Started: TypeAlias = AbstractContextManager[tuple[Process, str]]


@contextmanager
def dask(part: str, *arguments: str) -> Iterator[tuple[Process, str]]:
    """Start a part of a cluster, and give it with its address."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{part}", *arguments]
    with subprocess.Popen(
        [*command, "--no-dashboard", "--host", "127.0.0.1"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        sign = "Registered to" if part == "worker" else "Scheduler at:"
        line = next(line for line in process.stderr if sign in line)
        try:
            yield process, line.split()[-1]
        finally:
            process.kill()


def worker(address: str, folder: Path, *options: str) -> "Started":
    """Start a worker with one thread, unless options say otherwise."""
    options = options or ("--nthreads", "1", "--no-nanny")
    return dask("worker", address, *options, "--local-directory", str(folder))


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster with one worker."""
    with (
        dask("scheduler", "--port", "0") as (_, address),
        worker(address, tmp_path_factory.mktemp("dask")),
    ):
        yield address


def test_units_end_in_a_cluster_as_they_do_here(scheduler: str) -> None:
    task = Task("Some", fake_tasks.fail_for_images_ending_in_1)
    results = []
    for place in (Place(), Place(scheduler=scheduler)):
        with open_engine(place, 1) as engine:
            results.append(run_task(task, URLS, {}, engine=engine))
    here, there = results
    assert there.images == here.images
    assert [unit.message for unit in there.units] == [u.message for u in here.units]
    assert "fail_for_images_ending_in_1" in there.failures[0].details


def test_warnings_of_units_come_back_from_a_cluster(scheduler: str) -> None:
    with open_engine(Place(scheduler=scheduler), 1) as engine:
        result = run_task(Task("Warn", fake_tasks.warn), URLS[:1], {}, engine=engine)
    assert result.warnings == ["the light is on", f"{URLS[0]}: dust"]


def test_unit_gets_one_cpu_in_a_cluster(scheduler: str, tmp_path: Path) -> None:
    task = Task("Cpus", fake_tasks.note_cpus)
    with open_engine(Place(scheduler=scheduler), 8) as engine:
        run_task(task, URLS[:1], {"notes": str(tmp_path)}, engine=engine)
    assert [note.read_text() for note in tmp_path.iterdir()] == ["1"]


def test_client_stays_open_for_who_has_made_it(scheduler: str) -> None:
    from distributed import Client

    with Client(scheduler) as client:
        for _ in range(2):
            with open_engine(Place(scheduler=client), 1) as engine:
                task = Task("Some", fake_tasks.fail_for_images_ending_in_1)
                result = run_task(task, URLS[:1], {}, engine=engine)
            assert not result.failures


@pytest.mark.e2e
def test_register_writes_in_a_cluster_what_it_writes_here(
    scheduler: str, make_plate: MakePlate, tmp_path: Path
) -> None:
    tables = []
    for name, options in {
        "here": IN_PROCESS,
        "there": ["--scheduler", scheduler],
    }.items():
        csv = tmp_path / f"{name}.csv"
        plate = make_plate()
        command = ["register", str(plate), *CHANNEL, "--quiet", "--no-report"]
        assert main([*command, "--csv", str(csv), *options]) == 0
        tables.append(csv.read_text())
        shutil.rmtree(plate)
    assert tables[0].count("\n") > 1
    assert tables[0] == tables[1]


@pytest.mark.e2e
def test_killed_worker_of_a_cluster_costs_nothing_but_time(tmp_path: Path) -> None:
    with (
        dask("scheduler", "--port", "0") as (_, address),
        worker(address, tmp_path / "0"),
        worker(address, tmp_path / "1"),
        open_engine(Place(scheduler=address), 1) as engine,
    ):
        (tmp_path / "notes").mkdir()
        task = Task("Killed", fake_tasks.end_the_first_time)
        arguments = {"notes": str(tmp_path / "notes")}
        result = run_task(task, URLS, arguments, engine=engine)
    assert not result.failures
    assert [note.name for note in (tmp_path / "notes").iterdir()] == ["1"]


@pytest.mark.e2e
def test_killed_scheduler_ends_the_run_and_says_how_to_go_on(tmp_path: Path) -> None:
    task, rest = Task("Wait", fake_tasks.wait_unless_first), URLS[:2]
    with (
        dask("scheduler", "--port", "0") as (process, address),
        worker(address, tmp_path),
        open_engine(Place(scheduler=address), 1) as engine,
    ):

        def kill(unit: UnitResult) -> None:
            rest.remove(unit.name)
            process.kill()

        with pytest.raises(SchedulerLostError, match="run the same command again"):
            run_task(task, URLS[:2], {}, engine=engine, finished=kill)
    assert rest == URLS[1:2]


@pytest.mark.e2e
def test_workers_with_several_threads_are_refused(tmp_path: Path) -> None:
    with (
        dask("scheduler", "--port", "0") as (_, address),
        worker(address, tmp_path, "--nthreads", "2", "--no-nanny"),
        pytest.raises(InvalidInputError, match=r"has 2 threads.*--nthreads 1"),
        open_engine(Place(scheduler=address), 1),
    ):
        pass


def test_scheduler_that_does_not_answer_is_named() -> None:
    from dask import config

    with (
        config.set({"distributed.comm.timeouts.connect": "0.1s"}),
        pytest.raises(InvalidInputError, match=r"'tcp://127.0.0.1:1': no scheduler"),
        open_engine(Place(scheduler="tcp://127.0.0.1:1"), 1),
    ):
        pass


@pytest.mark.e2e
# That queue leaves its shells behind.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_jobs_are_workers_of_a_cluster_that_ends_with_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Jobs of a queue that dask-jobqueue has for tests: shells of this machine."""
    from dask_jobqueue.local import LocalCluster

    monkeypatch.setattr("dask_jobqueue.SLURMCluster", LocalCluster)
    place = Place(
        2,
        cluster="slurm",
        cluster_options=json.dumps({"memory": "1GB", "local_directory": str(tmp_path)}),
    )
    task = Task("Some", fake_tasks.fail_for_images_ending_in_1)
    with open_engine(place, 1) as engine:
        result = run_task(task, URLS, {}, engine=engine)
    assert [unit.name for unit in result.failures] == [URLS[1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{", "no JSON"),
        ("[1]", r"found \[1\]"),
        (None, "memory"),
        ('{"memory": "1GB", "colour": "red"}', "colour"),
    ],
)
def test_options_that_do_not_fit_a_cluster_are_refused(
    options: str | None, message: str
) -> None:
    place = Place(1, cluster="slurm", cluster_options=options)
    with pytest.raises(InvalidInputError, match=message), open_engine(place, 1):
        pass


@pytest.mark.parametrize("name", ["distributed", "dask_jobqueue"])
def test_package_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    place = Place(1, cluster="slurm")
    pip = rf"{name}, which is not installed.*pip install \"fractal-tasks\[distributed\]"
    with pytest.raises(InvalidInputError, match=pip), open_engine(place, 1):
        pass


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (Place(2, scheduler="tcp://a:1"), "leave the others out"),
        (Place(cluster="pbs"), "needed is workers="),
        (Place(2, cluster_options="{}"), "needed is cluster="),
    ],
)
def test_place_that_is_two_or_half_a_one_is_refused(place: Place, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        place.check()
