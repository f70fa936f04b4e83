"""Layers import one way only, and a task process starts without heavy modules."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fractal_tasks

PACKAGE = Path(fractal_tasks.__file__).parent

ALLOWED = {
    "errors": set(),
    "task_io": set(),
    "transforms": {"errors"},
    "registration": {"errors", "transforms"},
    "qc": {"errors", "transforms"},
    "storage": {"errors", "transforms"},
    "synthetic": {"errors"},
    "tasks": {"errors", "task_io", "transforms", "registration", "qc", "storage"},
    "report": set(),
    "runner": {"errors", "storage"},
    "discovery": {"errors", "storage"},
}


def imported_layers(module: Path) -> set[str]:
    layers = set()
    for node in ast.walk(ast.parse(module.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        layers |= {
            name.split(".")[1] for name in names if name.startswith("fractal_tasks.")
        }
    return layers


@pytest.mark.parametrize("layer", sorted(ALLOWED))
def test_layer_imports_only_what_lies_below(layer: str) -> None:
    folder = PACKAGE / layer
    modules = folder.rglob("*.py") if folder.is_dir() else [PACKAGE / f"{layer}.py"]
    for module in modules:
        found = imported_layers(module) - {layer}
        assert found <= ALLOWED[layer], module


def test_only_tasks_lie_in_the_tasks_folder() -> None:
    for module in (PACKAGE / "tasks").glob("*.py"):
        if module.name == "__init__.py":
            continue
        functions = {
            node.name
            for node in ast.parse(module.read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        assert module.stem in functions


@pytest.mark.parametrize(
    "task",
    [
        "init_calculate_registration",
        "calculate_registration",
        "init_find_registration_consensus",
        "find_registration_consensus",
        "apply_registration_to_image",
    ],
)
def test_task_module_imports_without_the_heavy_libraries(task: str) -> None:
    code = (
        f"import fractal_tasks.tasks.{task}, sys; "
        "print([m for m in ('ngio', 'anndata', 'dask', 'itk', 'pandas', 'fsspec')"
        " if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
