from pathlib import Path

import pytest

from fractal_tasks.storage.plate.open_image import OpenImage
from tests.conftest import MakePlate
from tests.records.plates import TINY, open_acquisition


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    """A tiny plate with one well and two acquisitions."""
    return make_plate(**TINY)


@pytest.fixture
def image(plate: Path) -> OpenImage:
    """The acquisition of `plate` that is registered."""
    return open_acquisition(plate, 1)
