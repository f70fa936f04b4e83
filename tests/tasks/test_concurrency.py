"""All units of a well at once, readers beside them: a short `stress.concurrency`."""

from collections.abc import Iterator

import pytest

from stress.concurrency import Concurrency, Round


@pytest.fixture(scope="module")
def concurrency(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Concurrency]:
    folder = tmp_path_factory.mktemp("concurrency")
    processes = Concurrency(folder, columns=1, libraries=("ngio",))
    yield processes
    processes.close()


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(1, id="beside the input, one worker dies", marks=pytest.mark.e2e),
        pytest.param(4, id="all three tasks, in place"),
        pytest.param(22, id="without exchange, in place", marks=pytest.mark.e2e),
    ],
)
@pytest.mark.e2e
def test_units_that_run_at_once_and_twice_lose_and_leave_nothing(
    concurrency: Concurrency, number: int
) -> None:
    concurrency.run(Round(number))
    assert concurrency.counts["rounds"] > 0
