"""A real fractal-server in an environment of its own, with one local resource."""

import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from client import Client, new_session
from postgres import Database
from processes import E2EError, run, running, wait_until

_EMAIL = "admin@example.org"
_PYTHON = "3.13"
"""fractal-server needs it or newer, the tasks need it or older."""


def find_python(given: str | None) -> str:
    """Find a Python that runs fractal-server.

    Args:
        given: What the user asked for; else the newest on PATH or from pyenv.

    Raises:
        E2EError: There is none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    in_pyenv = map(str, pyenv.glob(f"versions/{_PYTHON}*/bin/python"))
    candidates = [given] if given else [f"python{_PYTHON}", *in_pyenv]
    for path in filter(None, map(shutil.which, candidates)):
        # A version manager's stand-in may be on PATH for what is not installed.
        if subprocess.run([path, "-V"], capture_output=True).returncode == 0:
            return _ask(path, "-c", "import sys; print(sys.executable)")
    raise E2EError(
        f"found no Python {_PYTHON} for fractal-server; tried {', '.join(candidates)}. "
        "Install it, or pass it with 'make e2e SERVER_PYTHON=PATH'."
    )


def install_server(python: str, environment: Path, log: Path) -> str:
    """Install the newest fractal-server, once; return its version."""
    installed = environment / ".installed"
    if not installed.exists():
        print(f"installing fractal-server into {environment.name}", flush=True)
        run([python, "-m", "venv", "--clear", environment], log=log)
        pip = [environment / "bin/python", "-m", "pip", "install"]
        run([*pip, "fractal-server"], log=log)
        installed.touch()
    code = "from importlib.metadata import version; print(version('fractal-server'))"
    return _ask(environment / "bin/python", "-c", code)


def _ask(python: str | Path, *arguments: str) -> str:
    """Run Python elsewhere and give what it prints."""
    answer = subprocess.run(
        [python, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return answer.stdout.strip()


@contextmanager
def running_server(
    environment: Path, database: Database, folder: Path, *, python: str
) -> Iterator[Client]:
    """Start a server on a free port of the loopback device, and stop it at the end.

    Args:
        environment: Where it is installed.
        database: Its database, empty.
        folder: For its files and those of the user; made here.
        python: Interpreter for the environments of the tasks.
    """
    folder.mkdir()
    projects = folder / "projects"
    projects.mkdir()
    password = secrets.token_urlsafe()
    settings = os.environ | database.environment | _settings()
    # Packages of this process are not those of the server and its tasks.
    settings.pop("PYTHONPATH", None)
    log = folder.with_suffix(".log")
    control = environment / "bin/fractalctl"
    run([control, "set-db"], log=log, cwd=folder, env=settings)
    resource, profile = _write_resource(folder, python)
    data = ["--resource", resource, "--profile", profile, "--admin-email", _EMAIL]
    data += ["--admin-pwd", password, "--admin-project-dir", projects]
    run([control, "init-db-data", *data], log=log, cwd=folder, env=settings)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [control, "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, log=log, cwd=folder, env=settings) as process:
        wait_until(lambda: _is_alive(url), process, log=log, timeout_s=120)
        yield Client(url, _EMAIL, password, projects)


def _is_alive(url: str) -> bool:
    try:
        return new_session().get(f"{url}/api/alive/", timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def _settings() -> dict[str, str]:
    return {
        "JWT_SECRET_KEY": secrets.token_urlsafe(),
        # The default, three minutes, is shorter than collection and jobs.
        "JWT_EXPIRE_SECONDS": "86400",
        "FRACTAL_RUNNER_BACKEND": "local",
        "FRACTAL_GRACEFUL_SHUTDOWN_TIME": "5",
    }


def _write_resource(folder: Path, python: str) -> tuple[Path, Path]:
    version = _ask(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    resource = {
        "name": "Local",
        "type": "local",
        "jobs_local_dir": str(folder / "jobs"),
        "tasks_local_dir": str(folder / "tasks"),
        "tasks_python_config": {
            "default_version": version,
            "versions": {version: python},
            # Left out, the server downloads everything each time.
            "pip_cache_dir": _ask(python, "-m", "pip", "cache", "dir"),
        },
        "tasks_pixi_config": {},
        # Left out, cores + 4 processes run at once.
        "jobs_runner_config": {"parallel_tasks_per_job": os.cpu_count()},
        "jobs_poll_interval": 0,
    }
    profile = {"resource_type": "local", "name": "Local"}
    paths = folder / "resource.json", folder / "profile.json"
    for path, content in zip(paths, (resource, profile), strict=True):
        path.write_text(json.dumps(content))
    return paths


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
