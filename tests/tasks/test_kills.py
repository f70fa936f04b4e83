"""Kills at random instants, healed by a rerun: a short `stress.kills`."""

from collections.abc import Iterator

import pytest

from stress.kills import Kills


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kills]:
    tasks = Kills(tmp_path_factory.mktemp("kills"), seed=0, variants=("csv",))
    yield tasks
    tasks.close()


@pytest.mark.parametrize(
    ("name", "two_renames"),
    [
        ("calculate", True),
        ("consensus", False),
        ("consensus again", True),
        ("apply", True),
        ("apply", False),
        ("apply keeping again", False),
    ],
)
@pytest.mark.sampled(6)
def test_a_plate_is_whole_after_a_kill_and_a_rerun_ends_as_if_undisturbed(
    kills: Kills, name: str, two_renames: bool
) -> None:
    while not kills.run(name, "csv", two_renames):
        pass  # it was quicker than the signal
    assert kills.counts.total() > 0
