"""Units in a cluster, by dask.distributed: what the extra `distributed` installs.

Each worker of dask runs one unit at a time, with one CPU: it may have no processes of
its own, and threads of one process would share what is of a process, as its log.
"""

import json
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from fractal_tasks.errors import InvalidInputError

if TYPE_CHECKING:
    from dask_jobqueue import JobQueueCluster
    from distributed import Client

ClusterKind: TypeAlias = Literal["slurm", "pbs", "sge", "lsf", "htcondor"]

_CLASSES: dict[ClusterKind, str] = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
}
"""Of dask-jobqueue."""

_LOSSES = "distributed.scheduler.allowed-failures"
"""dask gives up a unit after more workers than this were lost with it."""


@contextmanager
def connect(
    scheduler: Union[str, "Client", "JobQueueCluster"],
) -> Iterator[Executor]:
    """Give what runs units in a dask cluster; those not begun are dropped at the end.

    dask itself runs a unit again whose worker was lost.

    Args:
        scheduler: Its address, a client, or the cluster.

    Raises:
        InvalidInputError: It cannot be reached, or a worker has several threads.
    """
    with _needing_extra():
        from distributed import Client
    if isinstance(scheduler, Client):
        opened: AbstractContextManager[Client] = nullcontext(scheduler)
    else:
        try:
            opened = Client(scheduler, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                f"scheduler={scheduler!r}: no scheduler of dask answers ({error}). "
                "Start one (`dask scheduler`), or correct the address, e.g. "
                "'tcp://node1:8786'."
            ) from error
    with opened as client:
        _check_threads(client.scheduler_info(n_workers=-1))
        # Not pure: the same unit, asked for again, is to run again.
        executor: Executor = client.get_executor(pure=False)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)


def _check_threads(cluster: dict[str, Any]) -> None:
    for address, worker in cluster["workers"].items():
        if worker["nthreads"] > 1:
            raise InvalidInputError(
                f"scheduler={cluster['address']!r}: its worker {address} has "
                f"{worker['nthreads']} threads; needed are workers with one. Start "
                "more of them instead: `dask worker ADDRESS --nworkers 8 --nthreads 1`."
            )


@contextmanager
def start_cluster(
    kind: ClusterKind, workers: int, options: str | None
) -> Iterator["JobQueueCluster"]:
    """Give a dask cluster whose workers are jobs; they end with the body.

    Args:
        kind: Whose jobs.
        workers: Number of processes in all jobs together.
        options: JSON object with arguments of the class of dask-jobqueue.

    Raises:
        InvalidInputError: The options do not fit.
    """
    with _needing_extra():
        import dask
        import dask_jobqueue
        import distributed  # noqa: F401 - has the setting
    # Nobody asked for the pages of dask, which others could open.
    closed = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    chosen = {"cores": 1, "scheduler_options": closed, **_parse_options(options)}
    chosen.setdefault("processes", chosen["cores"])
    with dask.config.set({_LOSSES: 1}):
        try:
            cluster = getattr(dask_jobqueue, _CLASSES[kind])(**chosen)
        except (TypeError, ValueError, OSError) as error:
            raise InvalidInputError(
                f"cluster={kind!r} with cluster_options {options!r}: {error}. "
                'They are those of dask-jobqueue, e.g. \'{"queue": "short", '
                '"memory": "4GB", "walltime": "02:00:00"}\'.'
            ) from error
        with cluster:
            cluster.scale(workers)
            yield cluster


def _parse_options(text: str | None) -> dict[str, Any]:
    try:
        options = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        options = f"no JSON ({error.msg} at character {error.pos})"
    if not isinstance(options, dict):
        raise InvalidInputError(
            'cluster_options: needed is a JSON object, e.g. \'{"memory": "4GB"}\'; '
            f"found {options}."
        )
    return options


@contextmanager
def _needing_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise InvalidInputError(
            f"Clusters need the package {error.name}, which is not installed here. "
            'Install it: pip install "fractal-tasks[distributed]".'
        ) from error
