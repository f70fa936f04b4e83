"""What several tests of the command line use."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.cli import build_app
from fractal_tasks.workflow.catalogue import list_task_commands

COMMANDS = {command.name: command for command in list_task_commands()}
OUTPUT_FLAGS = {"--quiet", "--log-level", "--json"}
RUN_FLAGS = OUTPUT_FLAGS | {
    "--workers",
    "--scheduler",
    "--cluster",
    "--cluster-options",
    "--max-failures",
}
IN_PROCESS = ["--workers", "1"]
CHANNEL = ["--wavelength-id", "A01_C01"]

Capture = pytest.CaptureFixture[str]


def flags_of(*command: str) -> dict[str, Any]:
    """Give the first spelling of every flag of a command, and its default."""
    app = build_app()
    for name in command:
        app = app[name]
    return {
        argument.names[0]: argument.field_info.default
        for argument in app.assemble_argument_collection()
        if argument.names[0].startswith("--")
    }


def tree_hash(folder: Path) -> str:
    """Hash names, content and time of change of everything below a folder."""
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        state.update(f"{path} {path.stat().st_mtime_ns}".encode() + content)
    return state.hexdigest()
