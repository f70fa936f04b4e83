"""Small synthetic plates, made once per session and copied for each test."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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

FLUSHING = ("storage/local", "tasks/test_disk_faults.py", "tasks/test_kills.py")
"""Tests of what survives a crash or a full disk."""


@pytest.fixture(autouse=True)
def no_flush(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Do not wait until all that other programs have written is on the disk, too.

    A replacement flushes the whole file system. On a busy machine that takes a second,
    and only a power cut could tell the difference.
    """
    path = request.path.relative_to(Path(__file__).parent).as_posix()
    if not path.startswith(FLUSHING):
        monkeypatch.setattr(publish, "_flush_file_system", lambda _: None)


@pytest.fixture(scope="session")
def plate_cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"root": tmp_path_factory.mktemp("plates")}


@pytest.fixture
def make_plate(tmp_path: Path, plate_cache: dict[str, Path]) -> MakePlate:
    """Give a function that makes a fresh copy of a small plate.

    Keyword arguments change single options of `SMALL`.
    """

    def make(name: str = "plate.zarr", **changes: object) -> Path:
        options = PlateOptions(**{**SMALL.model_dump(), **changes})
        key = options.model_dump_json()
        if key not in plate_cache:
            original = plate_cache["root"] / f"{len(plate_cache)}" / "plate.zarr"
            plate_cache[key] = create_plate(original, options)
        plate = tmp_path / name
        shutil.copytree(plate_cache[key], plate)
        shutil.copy(f"{plate_cache[key]}.truth.json", f"{plate}.truth.json")
        return plate

    return make
