"""Run the tasks on all images of a plate at once, while others read it.

Usage: `python -m stress.concurrency [--rounds N] [--seed N] [--folder PATH]`. Every
round works on a fresh copy of a small plate with real processes and compares it with
what one unit after the other makes of it. Ends with exit code 1 at the first fault.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from stress.plates import VARIANTS, Stages, Unit, differences, read_tree
from stress.readers import LIBRARIES, Reader, Watch
from stress.workers import Fault, Order, Outcome, Workers, be_quiet, report_success

LIMIT_S = 300.0
"""For one batch of units; they take seconds, unless they wait for each other."""


@dataclass(frozen=True)
class Round:
    """What happens in a round."""

    number: int

    @property
    def variant(self) -> str:
        return VARIANTS[0] if self.number % 4 == 3 else VARIANTS[1]

    @property
    def overwrite(self) -> bool:
        return self.number % 2 == 0

    @property
    def two_renames(self) -> bool:
        """Whether directories are replaced as on a file system without exchange."""
        return self.number % 8 >= 6

    @property
    def from_raw(self) -> bool:
        """Whether all three tasks run, or *apply* alone."""
        return self.number % 10 in {4, 9}

    @property
    def kills(self) -> bool:
        """Whether a worker dies, most of the time with a lock in its hands."""
        return self.number % 5 == 1

    def __str__(self) -> str:
        return (
            f"round {self.number}: {self.variant} tables, overwrite_input="
            f"{self.overwrite}, {'two renames' if self.two_renames else 'exchange'}"
            f"{', from raw' if self.from_raw else ''}{', kills' if self.kills else ''}"
        )


class Concurrency:
    """Rounds on one set of plates and processes."""

    def __init__(
        self,
        folder: Path,
        seed: int = 0,
        columns: int = 2,
        libraries: tuple[str, ...] = LIBRARIES,
    ) -> None:
        self.folder = folder
        self.columns = columns
        self.rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._stages: dict[str, Stages] = {}
        self.workers = Workers(0)
        self.readers = [
            Reader(library, seed + number) for number, library in enumerate(libraries)
        ]

    def close(self) -> None:
        """End all processes."""
        self.workers.close()
        for reader in self.readers:
            reader.close()

    def run(self, this: Round) -> None:
        """Run a round.

        Raises:
            Fault: Something was lost, torn, left over or waited for.
        """
        stages = self._prepared(this.variant)
        end = "applied" if this.overwrite else "kept"
        names = ["raw", "calculated", "judged"] if this.from_raw else ["judged"]
        folder = self.folder / "round"
        shutil.copytree(stages[names[0]].parent, folder)
        plate = folder / "plate.zarr"
        watch = Watch(
            plate=plate,
            wells=stages.wells,
            versions=[stages[name] for name in (*names, end)],
            two_renames=this.two_renames,
            whole=not this.from_raw,
        )
        for reader in self.readers:
            reader.start(watch)
        if this.from_raw:
            self._run_units(this, plate, stages.calculate_units())
            self._run_units(this, plate, stages.consensus_units())
        self._run_units(this, plate, stages.apply_units(overwrite=this.overwrite))
        self._stop_reading()
        wrong = list(differences(read_tree(folder), read_tree(stages[end].parent)))
        if wrong:
            raise Fault(f"{len(wrong)} differences: {'; '.join(wrong[:20])}")
        self.counts["rounds"] += 1
        shutil.rmtree(folder)

    def _prepared(self, variant: str) -> Stages:
        if variant not in self._stages:
            self._stages[variant] = Stages(self.folder / variant, variant, self.columns)
        return self._stages[variant]

    def _run_units(self, this: Round, plate: Path, units: list[Unit]) -> None:
        """Run units at once, some of them twice; in some rounds one of these dies."""
        requeued = self.rng.sample(units, k=max(1, len(units) // 3))
        orders = [Order(unit, plate, this.two_renames) for unit in [*units, *requeued]]
        self.rng.shuffle(orders)
        if this.kills:
            orders = [self._with_death(order, requeued[0]) for order in orders]
        outcomes = self._run_at_once(orders)
        died = [
            replace(order, die_at=None)
            for order, outcome in zip(orders, outcomes, strict=True)
            if outcome.died
        ]
        # What the dead left is finished by another run of their unit.
        self._run_at_once(died)
        self.counts["units requeued"] += len(requeued) + len(died)

    def _with_death(self, order: Order, unit: Unit) -> Order:
        """Let an order die if it is for `unit`, or leave it to wait for the dead."""
        if order.unit != unit or self.rng.random() < 0.2:
            return order
        return replace(order, die_at=self.rng.randrange(2, 50))

    def _run_at_once(self, orders: list[Order]) -> list[Outcome]:
        outcomes = self.workers.run(orders, LIMIT_S)
        if len({outcome.pid for outcome in outcomes}) != len(orders):
            raise Fault("two units ran in one process")
        for order, outcome in zip(orders, outcomes, strict=True):
            _check_outcome(order, outcome)
            self.counts["units killed" if outcome.died else "units"] += 1
        return outcomes

    def _stop_reading(self) -> None:
        reports = [reader.stop() for reader in self.readers]
        for seen, faults in reports:
            self.counts.update({f"reads with {kind}": n for kind, n in seen.items()})
            if faults:
                raise Fault("a reader: " + "; ".join(faults[:5]))


def _check_outcome(order: Order, outcome: Outcome) -> None:
    if outcome.error is not None:
        raise Fault(f"{order.unit} failed: {outcome.error}")
    if outcome.died and order.die_at is None:
        raise Fault(f"{order.unit}: its process died")
    if outcome.died or order.unit.task != "apply_registration_to_image":
        return
    url = order.unit.arguments["zarr_url"].replace("{plate}", str(order.plate))
    update = {"zarr_url": url}
    if not order.unit.arguments["overwrite_input"]:
        update = {"zarr_url": f"{url}_registered", "origin": url}
    if outcome.result != {"image_list_updates": [update]}:
        raise Fault(f"{order.unit} returned {outcome.result}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--columns", type=int, default=4, help="4 are 16 workers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work")
    options = parser.parse_args()
    be_quiet()
    folder = Path(tempfile.mkdtemp(prefix="stress-", dir=options.folder))
    start = time.monotonic()
    concurrency = Concurrency(folder, options.seed, options.columns)
    try:
        for number in range(options.rounds):
            this = Round(number)
            try:
                concurrency.run(this)
            except Fault as fault:
                print(f"FAULT in {this} (seed {options.seed}): {fault}")
                print(f"The plate is kept in {folder / 'round'}.")
                return 1
            if number % 20 == 19:
                print(f"{number + 1} rounds, {time.monotonic() - start:.0f} s")
    finally:
        concurrency.close()
    shutil.rmtree(folder)
    report_success(concurrency.counts, start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
