from pathlib import Path

import pytest

from tests.conftest import MakePlate
from tests.records.plates import TINY


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    """A tiny plate with one well and two acquisitions."""
    return make_plate(**TINY)
