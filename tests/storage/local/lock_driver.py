"""Several processes take one lock in turn; print what they counted.

`python lock_driver.py MODE DIRECTORY` with MODE `plain`, `crowd` (many processes, once
each), `killed` (half of the processes die by SIGKILL while they hold the lock) or
`orphan` (each process dies so in its last turn, and a child that it forked lives on).
"""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fractal_tasks.storage.local import locks
from fractal_tasks.storage.local.locks import image_lock

DEATH_TURN = 9
LIMIT_S = 60
# Short, so that the processes meet in nearly every turn.
locks._POLL_S = 0.001


@dataclass(frozen=True)
class Plan:
    """What each of the processes does."""

    processes: int = 4
    turns: int = 150
    hold_s: float = 0
    deaths: tuple[bool, ...] = (False,)
    """Which processes die, again and again in this order."""
    leaves_child: bool = False


PLANS = {
    "plain": Plan(),
    "crowd": Plan(processes=48, turns=1, hold_s=0.005),
    "killed": Plan(deaths=(False, True)),
    "orphan": Plan(deaths=(True,), leaves_child=True),
}


def work(directory: Path, plan: Plan, die_at: int) -> None:
    """Count up under the lock; fail if anyone else is inside."""
    signal.alarm(LIMIT_S)  # a worker that waits in vain dies of it
    image = directory / "plate.zarr" / "B" / "03" / "1"
    counter, inside = directory / "counter", directory / "inside"
    for turn in range(plan.turns):
        with image_lock(image):
            inside.touch(exist_ok=False)
            time.sleep(plan.hold_s)
            counter.write_text(str(int(counter.read_text()) + 1))
            inside.unlink()
            if turn == die_at:
                if plan.leaves_child and os.fork() == 0:
                    linger(directory)
                os.kill(os.getpid(), signal.SIGKILL)


def linger(directory: Path) -> None:
    """Live on until the folder says that all is over."""
    signal.alarm(LIMIT_S)
    while not (directory / "over").exists():
        time.sleep(0.01)
    os._exit(0)


def main() -> None:
    mode, directory = sys.argv[1], Path(sys.argv[2])
    (directory / "plate.zarr").mkdir()
    (directory / "plate.zarr" / ".zattrs").touch()
    (directory / "counter").write_text("0")
    plan = PLANS[mode]
    children = []
    for number in range(plan.processes):
        child = os.fork()
        if child == 0:
            dies = plan.deaths[number % len(plan.deaths)]
            try:
                work(directory, plan, DEATH_TURN if dies else plan.turns)
            except OSError:
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    (directory / "over").touch()
    count = int((directory / "counter").read_text())
    json.dump({"codes": codes, "count": count}, sys.stdout)


if __name__ == "__main__":
    main()
