"""Layers import one way only, and a task process starts without heavy modules."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fractal_tasks
from fractal_tasks.dev.task_list import TASK_LIST

PACKAGE = Path(fractal_tasks.__file__).parent

LAYERS = (
    {"errors", "interrupts", "cpus", "lifeline"},
    {"transforms"},
    {"model"},
    # They never import each other.
    {"registration", "qc", "storage"},
    {"records"},
    {"report"},
    {"steps"},
    {"tasks"},
    {"runner", "discovery", "dev"},
    {"workflow"},
    {"demo", "cli", "api"},
)
"""Each imports only what lies in earlier sets; a set is one floor."""

APART = {"synthetic": {"errors"}}
"""Plates with known truth, used to judge the others: anyone may import it."""

SAME_FLOOR = {("cli", "demo")}
"""`cli` shows the demo."""


def imported_layers(module: Path) -> set[str]:
    layers = set()
    for node in ast.walk(ast.parse(module.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == PACKAGE.name:
                names = [f"{PACKAGE.name}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        layers |= {
            name.split(".")[1] for name in names if name.startswith("fractal_tasks.")
        }
    return layers - {"__version__"}


def modules_of(layer: str) -> list[Path]:
    folder = PACKAGE / layer
    return (
        sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    )


@pytest.mark.parametrize("layer", sorted(set().union(*LAYERS)))
def test_layer_imports_only_what_lies_below(layer: str) -> None:
    floor = next(index for index, names in enumerate(LAYERS) if layer in names)
    allowed = set().union(*LAYERS[:floor]) | {layer}
    allowed |= {other for one, other in SAME_FLOOR if one == layer}
    if floor == len(LAYERS) - 1:
        allowed |= set(APART)
    for module in modules_of(layer):
        assert imported_layers(module) <= allowed, module


@pytest.mark.parametrize("layer", sorted(APART))
def test_layer_apart_imports_nothing_it_is_used_to_judge(layer: str) -> None:
    for module in modules_of(layer):
        assert imported_layers(module) - {layer} <= APART[layer], module


def test_every_module_belongs_to_a_layer() -> None:
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix in {"", ".py"}}
    known = set().union(*LAYERS, APART)
    assert names - {"__init__", "__pycache__", "__FRACTAL_MANIFEST__"} == known


def test_modules_import_each_other_without_circles() -> None:
    """Also within a layer: a newcomer can read it from the bottom up."""
    graph = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        graph[name] = {
            target
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module
            for target in (node.module,)
            if target.startswith(f"{PACKAGE.name}.")
        }
    TopologicalSorter(graph).prepare()


def test_no_module_is_longer_than_one_can_keep_in_mind() -> None:
    longest = {"tasks": 140}
    reasons = {
        # One mechanism, told in one piece.
        "storage/local/publish.py",
    }
    too_long = [
        f"{path.relative_to(PACKAGE)}: {lines}"
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text().splitlines()))
        > longest.get(path.relative_to(PACKAGE).parts[0], 300)
        and path.relative_to(PACKAGE).as_posix() not in reasons
    ]
    assert not too_long


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
    "executable",
    [
        executable
        for task in TASK_LIST
        for executable in (task.executable_non_parallel, task.executable_parallel)
        if executable
    ],
)
def test_task_module_imports_without_the_heavy_libraries(executable: str) -> None:
    module = ".".join(Path(executable).with_suffix("").parts)
    code = (
        f"import fractal_tasks.{module}, sys; "
        "print([m for m in ('ngio', 'anndata', 'dask', 'itk', 'pandas', 'fsspec',"
        " 'bokeh', 'jinja2', 'PIL')"
        " if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_help_loads_no_library_that_only_work_needs() -> None:
    code = (
        "import sys; from fractal_tasks.cli import main; main(['register', '--help']); "
        "print([m for m in ('ngio', 'zarr', 'dask', 'pandas', 'scipy.ndimage', "
        "'scipy.fft', 'distributed') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "[]"
