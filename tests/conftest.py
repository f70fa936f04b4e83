"""Small synthetic plates, made once per session and copied for each test."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fractal_tasks.cli import report_command
from fractal_tasks.storage.local import publish
from fractal_tasks.synthetic import PlateOptions, create_plate

SMALL = PlateOptions(
    fields_y=1,
    fields_x=2,
    field_size_px=256,
    acquisitions=3,
    channels=2,
    levels=4,
    nuclei_per_mm2=2500,
    plate_shift_um=6.0,
)

MakePlate = Callable[..., Path]
Prepare = Callable[[Path], object]


@dataclass
class PlateCache:
    """Plates that are copied for each test."""

    root: Path
    plates: dict[object, Path] = field(default_factory=dict)

    def give(self, options: PlateOptions, then: tuple[Prepare, ...]) -> Path:
        key = (options.model_dump_json(), then)
        if key not in self.plates:
            original = self.give(options, then[:-1]) if then else None
            plate = self.root / f"{len(self.plates)}" / "plate.zarr"
            if original is None:
                create_plate(plate, options)
            else:
                copy_plate(original, plate)
                then[-1](plate)
            self.plates[key] = plate
        return self.plates[key]


def copy_plate(original: Path, plate: Path) -> None:
    shutil.copytree(original, plate)
    shutil.copy(f"{original}.truth.json", f"{plate}.truth.json")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the other cases of sampled tests to `make e2e`."""
    cases: Counter[str] = Counter()
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is None:
            continue
        test, _, _ = item.nodeid.partition("[")
        if cases[test] % marker.args[0]:
            item.add_marker(pytest.mark.e2e)
        cases[test] += 1


def path_in_tests(request: pytest.FixtureRequest) -> str:
    return request.path.relative_to(Path(__file__).parent).as_posix()


FLUSHING = ("storage/local", "tasks/test_disk_faults.py", "tasks/test_kills.py")
"""Tests of what survives a crash or a full disk."""

OF_FILES = ("storage/plate/test_roi_tables.py",)
"""Tests that know the files of a table of anndata."""


@pytest.fixture(autouse=True)
def no_flush(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Do not wait until all that other programs have written is on the disk, too.

    A replacement flushes the whole file system. On a busy machine that takes a second,
    and only a power cut could tell the difference.
    """
    if not path_in_tests(request).startswith(FLUSHING):
        monkeypatch.setattr(publish, "_flush_file_system", lambda _: None)


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Leave the page out that `register` ends with: it takes seconds each time."""
    if "report" not in request.path.name:
        monkeypatch.setattr(report_command, "write_reports", lambda *_: [])


@pytest.fixture(scope="session")
def plate_cache(tmp_path_factory: pytest.TempPathFactory) -> PlateCache:
    return PlateCache(tmp_path_factory.mktemp("plates"))


@pytest.fixture
def make_plate(
    tmp_path: Path, plate_cache: PlateCache, request: pytest.FixtureRequest
) -> MakePlate:
    """Give a function that makes a fresh copy of a small plate.

    Its tables are JSON, of which five are written in the time of one of anndata. Tests
    of `make e2e`, and of what survives a crash, have anndata as most plates do.

    Keyword arguments change single options of `SMALL`; `then` is called with the paths
    of plates, once for all copies, to do to them what many tests begin with, in order.
    """
    is_usual = path_in_tests(request).startswith((*FLUSHING, *OF_FILES))
    if is_usual or request.node.get_closest_marker("e2e"):
        backend = {}
    else:
        backend = {"table_backend": "json"}

    def make(
        name: str = "plate.zarr", *, then: Sequence[Prepare] = (), **changes: object
    ) -> Path:
        options = PlateOptions(**SMALL.model_dump() | backend | changes)
        plate = tmp_path / name
        copy_plate(plate_cache.give(options, tuple(then)), plate)
        return plate

    return make
