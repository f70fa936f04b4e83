"""How many units run side by side by default."""

from pathlib import Path

import pytest

from fractal_tasks.runner import capacity
from fractal_tasks.runner.capacity import MEMORY_OF_UNIT, default_workers
from fractal_tasks.workflow.capacity import choose_workers
from fractal_tasks.workflow.catalogue import list_task_commands
from fractal_tasks.workflow.run import REGISTER_TASKS, Workflow
from tests.conftest import MakePlate

GIB = 1 << 30
MANY = 64


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        ([], MANY),
        ([7 * MEMORY_OF_UNIT], 7),
        ([7 * MEMORY_OF_UNIT, 3 * MEMORY_OF_UNIT - 1], 2),
        ([1], 1),
    ],
    ids=["unknown", "memory", "container", "none"],
)
def test_workers_are_as_many_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, free: list[int], expected: int
) -> None:
    monkeypatch.setattr(capacity, "_count_cores", lambda: MANY)
    monkeypatch.setattr(capacity, "_free_of_machine", lambda: free[:1])
    monkeypatch.setattr(capacity, "_free_of_group", lambda: free[1:])
    assert default_workers() == expected


def test_free_memory_of_the_machine_is_what_linux_says(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert capacity._free_of_machine(meminfo) == []
    meminfo.write_text("MemTotal:       8 kB\nMemAvailable:   4 kB\n")
    assert capacity._free_of_machine(meminfo) == [4096]


def test_limits_of_all_groups_above_a_process_count(tmp_path: Path) -> None:
    group = tmp_path / "cgroup"
    assert capacity._free_of_group(tmp_path, group) == []
    group.write_text("1:name=systemd:/x\n0::/job/step\n")
    for folder, limit in {"job": f"{4 * GIB}", "job/step": "max"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "memory.max").write_text(f"{limit}\n")
        (tmp_path / folder / "memory.current").write_text(f"{GIB}\n")
    assert capacity._free_of_group(tmp_path, group) == [3 * GIB]


def workflow_of(plate: Path, **arguments: object) -> Workflow:
    tasks = {one.function_name: one for one in list_task_commands()}
    workflow = Workflow.of(
        [tasks[name].load() for name in REGISTER_TASKS],
        {"wavelength_id": "A01_C01", **arguments},
    )
    workflow.find([str(plate)])
    return workflow


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "_count_cores", lambda: MANY)
    monkeypatch.setattr(capacity, "_free_memory", lambda: None)


@pytest.mark.usefixtures("many_cores")
def test_few_small_images_are_registered_by_this_process(make_plate: MakePlate) -> None:
    plate = make_plate()
    assert choose_workers(workflow_of(plate)) == 1
    assert choose_workers(workflow_of(plate, method={"type": "elastix"})) == MANY


@pytest.mark.parametrize(("limit", "value"), [("_SMALL_PX", 1), ("_FEW_IMAGES", 2)])
@pytest.mark.usefixtures("many_cores")
def test_large_and_many_images_are_registered_by_workers(
    make_plate: MakePlate, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(f"fractal_tasks.workflow.capacity.{limit}", value)
    assert choose_workers(workflow_of(make_plate())) == MANY


@pytest.mark.usefixtures("many_cores")
def test_image_that_cannot_be_read_is_left_to_its_unit(make_plate: MakePlate) -> None:
    plate = make_plate()
    workflow = workflow_of(plate)
    for name in (".zattrs", "zarr.json"):
        (plate / "A" / "01" / "1" / name).unlink(missing_ok=True)
    assert choose_workers(workflow) == MANY
