"""Where units run: in this process, in others of this machine, or in a cluster."""

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.runner.cluster import ClusterKind, connect, start_cluster
from fractal_tasks.runner.pool import worker_pool

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Engine:
    """What runs units."""

    executor: Executor | None = None
    """None: this thread, where signals end them."""

    cpus: int = 1
    """How many CPUs the units that run at a time may use together."""


@dataclass(frozen=True)
class Place:
    """What the user says of where units are to run."""

    workers: int | None = None
    """Number of processes; in a cluster, of those that it is asked for."""

    scheduler: Union[str, "Client", None] = None
    """Of a dask cluster that runs: its address, or a client of it."""

    cluster: ClusterKind | None = None
    """Whose jobs are to be the workers."""

    cluster_options: str | None = None
    """Of these jobs, as a JSON object."""

    def check(self) -> None:
        """Check that one place is named, before anything is done.

        Raises:
            InvalidInputError: There are two, or half of one.
        """
        if self.scheduler is not None and (self.cluster or self.workers):
            raise InvalidInputError(
                "scheduler=...: found workers= or cluster= beside it. A dask cluster "
                "that runs has its workers: leave the others out."
            )
        if self.cluster is not None and not self.workers:
            raise InvalidInputError(
                f"cluster={self.cluster!r}: needed is workers=, the number of worker "
                "processes to ask it for."
            )
        if self.cluster is None and self.cluster_options is not None:
            raise InvalidInputError("cluster_options=...: needed is cluster=, too.")


@contextmanager
def open_engine(
    place: Place, here: int, log_level: int = logging.WARNING
) -> Iterator[Engine]:
    """Give what runs units while the body lasts.

    Args:
        place: Where.
        here: Number of processes, if it is this machine; 1: the units run in this one.
        log_level: Level of the package's log in processes of this machine.

    Raises:
        InvalidInputError: A cluster cannot be reached or asked, or does not fit.
    """
    place.check()
    if place.scheduler is not None:
        with connect(place.scheduler) as executor:
            yield Engine(executor)
    elif place.cluster is not None:
        options = place.cluster_options
        with (
            start_cluster(place.cluster, place.workers or 1, options) as cluster,
            connect(cluster) as executor,
        ):
            yield Engine(executor)
    elif here == 1:
        yield Engine()
    else:
        with worker_pool(here, log_level) as executor:
            yield Engine(executor, here)
