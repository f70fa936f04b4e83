from pathlib import Path

import pytest

from tests.conftest import MakePlate


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    return make_plate()
