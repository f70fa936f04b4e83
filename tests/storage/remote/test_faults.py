"""A store that fails for a while: a short `stress.object_store`."""

import random
from pathlib import Path

import pytest

from fractal_tasks.synthetic import create_plate
from stress.object_store import Rounds, faulty_server
from stress.plates import OPTIONS


@pytest.mark.e2e
def test_same_command_ends_what_an_outage_interrupted(tmp_path: Path) -> None:
    plate = create_plate(
        tmp_path / "plate.zarr",
        OPTIONS["csv"].model_copy(update={"columns": 1, "acquisitions": 2}),
    )
    rng = random.Random(0)
    with faulty_server() as (server, application):
        rounds = Rounds(server, application, plate)
        for kind in ("outage", "reply is lost"):
            rounds.run(rng, kind)
    assert rounds.counts["outage: exit code 1"] == 1
