from pathlib import Path

import pytest

from tests.conftest import MakePlate
from tests.tasks.plates import image_urls, run_calculate, run_consensus


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    return make_plate()


@pytest.fixture
def image(make_plate: MakePlate) -> str:
    """An acquisition that was judged, and not applied."""
    urls = image_urls(make_plate(), 2)
    run_calculate(urls)
    run_consensus(urls)
    return urls[1]
