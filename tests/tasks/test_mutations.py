"""Damage of any kind is refused or survived: a short `stress.mutations`."""

import pytest

from stress.mutations import Mutations


@pytest.mark.e2e
def test_plate_with_one_damaged_file_loses_nothing_and_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    mutations = Mutations(tmp_path_factory.mktemp("mutations"), seed=0)
    for number in range(4):
        mutations.run(number)
    assert mutations.counts["exit code 1"] > 0
