"""The two packages under comparison, each in its own environment."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Unit, ask

PEER_REQUIREMENT = "fractal-tasks-core==2.1.0"

_FOLDER = (
    "import importlib.util, json, sys; "
    "spec = importlib.util.find_spec(sys.argv[1]); "
    "print(json.dumps(spec.submodule_search_locations[0]))"
)
_VERSIONS = (
    "import json, platform, sys; from importlib.metadata import version; "
    "print(json.dumps({'Python': platform.python_version(), "
    "**{name: version(name) for name in sys.argv[1:]}}))"
)


@dataclass(frozen=True)
class Package:
    """Where the tasks of a package are and how they are imported."""

    name: str
    python: str
    folder: Path
    module: str
    """Package that contains the task modules, e.g. ``fractal_tasks.tasks``."""
    init_calculate: str
    calculate: str
    init_consensus: str
    consensus: str
    apply: str
    deferred: tuple[str, ...] = ()
    """Modules that every task needs but imports only when it runs."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks, in the order of a workflow."""
        return (
            self.init_calculate,
            self.calculate,
            self.init_consensus,
            self.consensus,
            self.apply,
        )

    def run_task(
        self,
        task: str,
        arguments: Mapping[str, Any],
        folder: Path,
        reset: Callable[[], None] = lambda: None,
    ) -> Unit:
        """Give the process in which a Fractal server runs a task."""
        args_json = folder / f"{self.name}.{task}.args.json"
        out_json = folder / f"{self.name}.{task}.out.json"

        def prepare() -> None:
            args_json.write_text(json.dumps(arguments))
            # The wrapper of the tasks refuses to overwrite an earlier answer.
            out_json.unlink(missing_ok=True)
            reset()

        files = ["--args-json", str(args_json), "--out-json", str(out_json)]
        return Unit([self.python, str(self.folder / f"{task}.py"), *files], prepare)

    def import_task(self, task: str, extra: Sequence[str] = ()) -> Unit:
        """Give a process that ends where the first line of the task would run."""
        modules = [f"{self.module}.{task}", "fractal_task_tools.task_wrapper", *extra]
        return Unit([self.python, "-c", f"import {', '.join(modules)}"])

    def versions(self, *names: str) -> dict[str, str]:
        """Give the versions of Python and of installed packages."""
        found: dict[str, str] = ask(self.python, _VERSIONS, *names)
        return found


def this_package() -> Package:
    """Give fractal-tasks in the environment that runs the benchmark."""
    return Package(
        name="fractal-tasks",
        python=sys.executable,
        folder=Path(ask(sys.executable, _FOLDER, "fractal_tasks")) / "tasks",
        module="fractal_tasks.tasks",
        init_calculate="init_calculate_registration",
        calculate="calculate_registration",
        init_consensus="init_find_registration_consensus",
        consensus="find_registration_consensus",
        apply="apply_registration_to_image",
        deferred=("ngio",),
    )


def peer_package(python: str) -> Package:
    """Give fractal-tasks-core in an environment of its own."""
    return Package(
        name="fractal-tasks-core",
        python=python,
        folder=Path(ask(python, _FOLDER, "fractal_tasks_core")),
        module="fractal_tasks_core",
        init_calculate="init_image_based_registration",
        calculate="compute_image_based_registration",
        init_consensus="init_registration_consensus",
        consensus="compute_registration_consensus",
        apply="apply_registration_to_image",
    )


def peer_environment(folder: Path) -> str:
    """Give the Python of the peer's environment, installed if there is none."""
    python = folder / "bin" / "python"
    complete = folder / ".installed"
    if not complete.exists():
        print(f"installing {PEER_REQUIREMENT} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", PEER_REQUIREMENT]
        subprocess.run(pip, check=True)
        complete.touch()
    return str(python)
