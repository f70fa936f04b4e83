"""Small synthetic plates, made once per session and copied for each test."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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
