"""Hypothesis as it runs in CI, and deeper with `HYPOTHESIS_PROFILE=deep`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.properties.harness import Sandbox
from tests.tasks.plates import make_registered_plate

_COMMON = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("short", max_examples=3, derandomize=True, **_COMMON)
settings.register_profile("deep", max_examples=100, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

KINDS = {
    "0.4": {"ngff_version": "0.4", "table_backend": "anndata", "axes": "czyx"},
    "0.5": {"ngff_version": "0.5", "table_backend": "json", "axes": "cyx"},
}


@pytest.fixture(scope="session")
def registered_plates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Plates that each of the tasks can run on next, one per version of NGFF."""
    plates = {}
    for kind, options in KINDS.items():
        folder = tmp_path_factory.mktemp("properties")
        plates[kind] = make_registered_plate(folder / "plate.zarr", **options)
    return plates


@pytest.fixture(scope="module", params=sorted(KINDS))
def sandbox(
    request: pytest.FixtureRequest,
    registered_plates: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    source = registered_plates[request.param]
    folder = tmp_path_factory.mktemp("sandbox")
    yield Sandbox(Path(shutil.copytree(source, folder / "plate.zarr")))
    shutil.rmtree(folder)
