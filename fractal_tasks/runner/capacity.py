"""How many units this machine can run side by side."""

import os
from pathlib import Path

MEMORY_OF_UNIT = 2 << 30
"""Bytes; what the manifest asks for."""

_CGROUP = Path("/sys/fs/cgroup")


def default_workers() -> int:
    """Give the number of cores that this process may use, or fewer to save memory."""
    memory = _free_memory()
    cores = _count_cores()
    return cores if memory is None else max(1, min(cores, memory // MEMORY_OF_UNIT))


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_memory() -> int | None:
    """Give the bytes that processes can still take; None where Linux does not say."""
    return min((*_free_of_machine(), *_free_of_group()), default=None)


def _free_of_machine(meminfo: Path = Path("/proc/meminfo")) -> list[int]:
    if not meminfo.exists():
        return []
    lines = (line.split() for line in meminfo.read_text().splitlines())
    return [int(line[1]) * 1024 for line in lines if line[0] == "MemAvailable:"]


def _free_of_group(
    folder: Path = _CGROUP, group: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """Give what each limit leaves under which this process stands.

    Of containers and jobs, whose limits `/proc/meminfo` does not know.
    """
    if not group.exists():
        return []
    named = [line for line in group.read_text().splitlines() if line.startswith("0::")]
    free = []
    for line in named:
        own = folder / line.removeprefix("0::/")
        for one in (own, *own.parents):
            limit, used = one / "memory.max", one / "memory.current"
            if limit.exists() and (text := limit.read_text().strip()) != "max":
                free.append(int(text) - int(used.read_text()))
    return free
