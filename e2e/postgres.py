"""A PostgreSQL server of our own, reached through a socket in its folder."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import E2EError, run, running, wait_until

_DEBIAN = "/usr/lib/postgresql"
_PORT = "5432"
"""Names the socket; nothing listens on a network port."""


@dataclass(frozen=True)
class Database:
    """Where the database is."""

    socket_folder: Path
    user: str = "fractal"
    name: str = "fractal"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of fractal-server that lead to it."""
        return {
            "POSTGRES_HOST": str(self.socket_folder),
            "POSTGRES_PORT": _PORT,
            "POSTGRES_USER": self.user,
            "POSTGRES_DB": self.name,
        }


@contextmanager
def running_postgres(folder: Path) -> Iterator[Database]:
    """Start PostgreSQL with its data in `folder`, and stop it at the end."""
    binaries = _find_binaries()
    # The server refuses to run as root; Debian's package made this user.
    user = "postgres" if os.geteuid() == 0 else None
    folder.mkdir(mode=0o700)
    if user:
        shutil.chown(folder, user)
    log = folder.with_suffix(".log")
    database = Database(folder)
    data = folder / "data"
    initdb = ["--pgdata", data, "--username", database.user, "--auth", "trust"]
    run([binaries / "initdb", "--no-sync", *initdb], log=log, cwd=folder, user=user)
    where = ["-k", folder, "-p", _PORT, "-c", "listen_addresses="]
    # Nobody needs this database after a power cut.
    where += ["-c", "fsync=off"]
    with running(
        [binaries / "postgres", "-D", data, *where],
        log=log,
        cwd=folder,
        user=user,
        # Ends at once, with the open connections.
        stop_signal=signal.SIGINT,
    ) as process:
        client = ["-h", folder, "-p", _PORT, "-U", database.user]

        def is_ready() -> bool:
            command = [binaries / "pg_isready", *client, "--quiet"]
            return subprocess.run(list(map(str, command))).returncode == 0

        wait_until(is_ready, process, log=log, timeout_s=120)
        run([binaries / "createdb", *client, database.name], log=log, cwd=folder)
        yield database


def _find_binaries() -> Path:
    """Find the newest installed version, installed with apt-get if there is none."""
    found = _installed()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing Debian's postgresql", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        command = ["apt-get", "install", "--yes", "-qq", "--no-install-recommends"]
        command += ["postgresql"]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, check=True, env=environment)
        found = _installed()
    if found is None:
        raise E2EError(
            f"found no PostgreSQL, neither in {_DEBIAN} nor on PATH. Install it, e.g. "
            "'sudo apt-get install postgresql', or run this as root on Debian or "
            "Ubuntu, where it is installed for you."
        )
    return found


def _installed() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    versions = Path(_DEBIAN).glob("*/bin/initdb")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    return newest.parent if newest else None
