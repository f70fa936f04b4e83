"""Register a plate in an S3 store that fails now and then, and then does not.

Usage: `python -m stress.object_store [--rounds N] [--seed N] [--folder PATH]`. In every
round some requests fail, are slow, are cut, or are done though the reply says that they
failed. Then the same command runs undisturbed, and must give what one run alone gives.
Ends with exit code 1 at the first fault.
"""

import argparse
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from fractal_tasks.synthetic import create_plate
from stress.plates import OPTIONS
from stress.workers import Fault, be_quiet, report_success
from tests.storage.remote.s3 import ACCESS_KEY, SECRET_KEY, OneByOne, Server
from tests.storage.tiny import without_versions

LIMIT_S = 300
"""For a run that takes 15 seconds undisturbed; each retry of a client waits longer."""

KINDS = ("fails", "slow", "cut", "reply is lost", "outage")
_OUTAGE = 60
"""Number of requests that fail in a row: more than a client tries."""


class Faulty(OneByOne):
    """A store in which some of the requests do not go well."""

    def __init__(self, application: Callable[..., Any]) -> None:
        super().__init__(application)
        self.plan: dict[int, str] = {}
        self.struck: Counter[str] = Counter()
        self._count = 0

    def plan_faults(self, plan: dict[int, str]) -> int:
        """Set which of the next requests fail and how; give how many there were."""
        count, self._count, self.plan = self._count, 0, plan
        self.requests.clear()
        return count

    def __call__(self, environment: dict[str, Any], start: Any) -> Any:
        number, self._count = self._count, self._count + 1
        kind = self.plan.get(number)
        if kind is None:
            return super().__call__(environment, start)
        self.struck[f"{kind}: {environment['REQUEST_METHOD']}"] += 1
        if kind == "slow":
            time.sleep(1)
            return super().__call__(environment, start)
        if kind == "cut":
            (body,) = super().__call__(environment, start) or [b""]
            return [body[: len(body) // 2]]
        if kind == "reply is lost":
            super().__call__(environment, lambda *_: None)
        start("503 Slow Down", [("Content-Type", "text/plain")])
        return [b""]


@contextmanager
def faulty_server() -> Iterator[tuple[Server, Faulty]]:
    """Run the store on this machine."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    application = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.port}", application), application
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Rounds:
    """Rounds on one plate."""

    def __init__(self, server: Server, application: Faulty, plate: Path) -> None:
        self.server = server
        self.application = application
        self.plate = plate
        self.counts: Counter[str] = Counter()
        url = server.put(plate)
        application.plan_faults({})
        self._register(url)
        self.requests = application.plan_faults({})
        self.expected = self._look(url)

    def run(self, rng: random.Random, kind: str) -> None:
        """Run a round.

        Args:
            rng: Chooses the requests that do not go well.
            kind: One of `KINDS`.

        Raises:
            Fault: A run had no end or no message, or the last one another result.
        """
        url = self.server.put(self.plate)
        before = self.server.tree_of(url)
        first = rng.randrange(self.requests)
        numbers = range(first, first + _OUTAGE)
        if kind != "outage":
            numbers = sorted(rng.sample(range(self.requests), rng.randrange(1, 6)))
        self.application.plan_faults(
            dict.fromkeys(numbers, "fails" if kind == "outage" else kind)
        )
        run = self._register(url, needs_success=False)
        self.application.plan_faults({})
        what = f"{kind} at {list(numbers)[:5]}"
        if run.returncode not in (0, 1, 2) or "Traceback" in run.stderr:
            raise Fault(f"{what}: exit code {run.returncode}\n{run.stderr}")
        if run.returncode and url not in run.stderr:
            raise Fault(f"{what}: nothing says where it failed\n{run.stderr}")
        after = self.server.tree_of(url)
        lost = [
            key for key in before if is_input(key) and after.get(key) != before[key]
        ]
        if lost:
            raise Fault(f"{what}: of the input {lost} is changed")
        self._register(url)
        found = self._look(url)
        wrong = [
            key
            for key in found.keys() | self.expected.keys()
            if found.get(key) != self.expected.get(key)
        ]
        if wrong:
            raise Fault(f"{what}: {sorted(wrong)[:20]} differ in the end")
        self.counts[f"{kind}: exit code {run.returncode}"] += 1

    def _register(
        self, url: str, *, needs_success: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the command in a process of its own.

        Raises:
            Fault: It did not end, or not as needed.
        """
        command = ["register", url, "--wavelength-id", "A01_C01", "--level-path", "0"]
        command += ["--no-overwrite-input", "--workers", "1", "--quiet"]
        code = "import sys; from fractal_tasks.cli import main; sys.exit(main())"
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.server.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        try:
            run = subprocess.run(
                [sys.executable, "-c", code, *command],
                env=environment,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise Fault(f"still at work after {LIMIT_S} s") from error
        if needs_success and run.returncode:
            raise Fault(f"undisturbed, the exit code is {run.returncode}: {run.stderr}")
        return run

    def _look(self, url: str) -> dict[str, bytes]:
        """Give what must be the same; the keys of rows in tables are new each time."""
        tree = without_versions(self.server.tree_of(url))
        return {key: item for key, item in tree.items() if "/tables/" not in key}


def is_input(key: str) -> bool:
    """Whether an object is pixels or a label of the input."""
    return (
        key.startswith("A/")
        and "_registered/" not in key
        and key.count("/") > 3
        and ("/tables/" not in key)
    )


def main() -> int:
    """Run all rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for plates; default: temporary")
    options = parser.parse_args()
    be_quiet()
    start = time.monotonic()
    rng = random.Random(options.seed)
    with (
        tempfile.TemporaryDirectory(
            prefix="fractal-tasks-stress-", dir=options.folder
        ) as name,
        faulty_server() as (server, application),
    ):
        plate = create_plate(
            Path(name) / "plate.zarr",
            OPTIONS["csv"].model_copy(update={"columns": 1, "acquisitions": 2}),
        )
        rounds = Rounds(server, application, plate)
        for number in range(options.rounds):
            try:
                rounds.run(rng, KINDS[number % len(KINDS)])
            except Fault as fault:
                print(f"FAULT in round {number} (seed {options.seed}): {fault}")
                return 1
        report_success(rounds.counts + application.struck, start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
