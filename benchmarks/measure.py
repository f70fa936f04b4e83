"""Run a command in a fresh process and measure what it takes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

# Thread pools of the linear algebra would spin and count as CPU time. The threads that
# the tasks themselves start are not limited.
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class MeasurementError(RuntimeError):
    """A measured process failed."""


@dataclass(frozen=True)
class Cost:
    """What one process took, or the summary of several runs of it."""

    cpu_s: float
    """User and system time of the process and its threads."""
    wall_s: float
    peak_mb: float
    """Highest resident memory in 10^6 bytes."""


@dataclass(frozen=True)
class Unit:
    """A process to measure, and how to undo what it does before each run."""

    command: Sequence[str]
    reset: Callable[[], None] = lambda: None


def run_process(command: Sequence[str]) -> Cost:
    """Run a command to its end.

    Raises:
        MeasurementError: It failed; with the end of what it wrote.
    """
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT
        )
        # wait4 gives the usage of this child alone; getrusage mixes all of them.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            tail = log.read().decode(errors="replace")[-3000:]
            raise MeasurementError(f"exit code {process.returncode}: {command}\n{tail}")
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return Cost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=wall_s,
        peak_mb=usage.ru_maxrss * unit_bytes / 1e6,
    )


def measure(units: Mapping[str, Unit], repeats: int) -> dict[str, Cost]:
    """Run all units in turn, `repeats` times, and summarise each.

    Taking turns spreads a busy moment of the machine over all of them. CPU time and
    memory are medians; wall time, which other processes can only lengthen, the minimum.
    """
    runs: dict[str, list[Cost]] = {name: [] for name in units}
    for _ in range(repeats):
        for name, unit in units.items():
            unit.reset()
            runs[name].append(run_process(unit.command))
            print(f"  {name}: {runs[name][-1].cpu_s:.2f} CPU s", flush=True)
    return {
        name: Cost(
            cpu_s=median(cost.cpu_s for cost in costs),
            wall_s=min(cost.wall_s for cost in costs),
            peak_mb=median(cost.peak_mb for cost in costs),
        )
        for name, costs in runs.items()
    }


def ask(python: str | Path, code: str, *arguments: str) -> Any:  # noqa: ANN401 (JSON)
    """Run Python code elsewhere and give the JSON it prints."""
    answer = subprocess.run(
        [str(python), "-c", code, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    return json.loads(answer.stdout)
