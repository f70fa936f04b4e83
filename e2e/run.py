"""Run the tasks on a real Fractal server and compare the result with the truth.

Usage: ``python e2e/run.py [--server-python PYTHON] [--server-environment FOLDER]
[--keep]``. Starts PostgreSQL and fractal-server in a scratch folder, lets the server
collect a wheel of this package, imports the workflow files of docs/workflows, and runs
them on synthetic plates. Stops and removes all that it started, in any case. Debian's
package postgresql is installed if it is missing and this runs as root; it stays.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postgres import running_postgres
from processes import E2EError, interrupt_once, run
from scenarios import Scenarios
from server import find_python, install_server, running_server

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run it; return the exit code."""
    options = _parse_options()
    interrupt_once()
    started = time.monotonic()
    try:
        with _scratch_folder(keep=options.keep) as folder:
            _run(folder, options)
    except E2EError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: all that was started is stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    print(f"all checks passed in {time.monotonic() - started:.0f} s")
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--server-python",
        help="Python for fractal-server and the tasks; default: python3.13",
    )
    parser.add_argument(
        "--server-environment",
        type=Path,
        default=ROOT / ".venv-e2e",
        help="where fractal-server is installed; made if there is none",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the scratch folder with all logs"
    )
    return parser.parse_args()


@contextmanager
def _scratch_folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fractal-tasks-e2e-"))
    # The user postgres must be able to pass through, but not to look.
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


def _run(folder: Path, options: argparse.Namespace) -> None:
    python = find_python(options.server_python)
    environment = options.server_environment.absolute()
    version = install_server(python, environment, folder / "install.log")
    wheel = _build_wheel(folder)
    print(f"starting PostgreSQL and fractal-server {version}", flush=True)
    with (
        running_postgres(folder / "postgres") as database,
        running_server(
            environment, database, folder / "server", python=python
        ) as client,
    ):
        scenarios = Scenarios(client)
        scenarios.collect(wheel)
        scenarios.run_all()


def _build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"]
    command += [str(ROOT), "--wheel-dir", str(folder / "dist")]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    run(command, log=folder / "wheel.log", cwd=folder, env=environment)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


if __name__ == "__main__":
    sys.exit(main())
