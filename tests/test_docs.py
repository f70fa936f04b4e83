"""The documentation says what the code does: its examples run, its tables are whole."""

import ast
import importlib
import inspect
import os
import re
import runpy
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import fractal_tasks
from fractal_tasks import errors
from fractal_tasks.cli import build_app
from fractal_tasks.dev.task_list import TASK_LIST
from fractal_tasks.model.candidate import EVIDENCE
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.records.applied import AppliedRecord
from fractal_tasks.records.columns import EVIDENCE_PREFIX, OWN_COLUMNS
from fractal_tasks.records.stored_plan import ConsensusRecord, StoredPlacement
from fractal_tasks.registration.registry import METHODS
from fractal_tasks.synthetic import PlateOptions
from fractal_tasks.workflow.catalogue import list_task_commands

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
]

TASK_PAGES = {
    Path(executable).stem: Path(task.executable).stem
    for task in TASK_LIST
    for executable in (getattr(task, "executable_init", None), task.executable)
    if executable is not None
}
"""Page of each function: an init function is on the page of its task."""


def read_page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def outside_code(text: str) -> str:
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def table_rows(text: str) -> Iterator[list[str]]:
    for line in outside_code(text).splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def documented_defaults(text: str) -> dict[str, str]:
    """Give second cell by name, for each name in the first cell of its first row."""
    found: dict[str, str] = {}
    for first, second, *_ in table_rows(text):
        names = re.findall(r"`(\w+)`", first)
        values = second.split(", ") if len(names) > 1 else [second]
        for name, value in zip(names, values * len(names), strict=False):
            found.setdefault(name, value)
    return found


def shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


@pytest.mark.parametrize(
    "page",
    [
        "extending",
        *(
            pytest.param(page, marks=pytest.mark.e2e)
            for page in (
                "quickstart",
                "python",
                "your-data",
                "did-it-work",
                "napari",
            )
        ),
    ],
)
def test_code_blocks_of_a_page_run_in_order(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```$", read_page(page), re.M | re.S)
    assert blocks
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    shells = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "python": [sys.executable, "-c"],
    }
    for language, code in blocks:
        run = subprocess.run(
            [*shells[language], code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, f"{code}\n{run.stdout}\n{run.stderr}"


@pytest.mark.parametrize("task", TASK_PAGES)
def test_page_of_a_task_has_every_argument_with_its_default(task: str) -> None:
    function = getattr(importlib.import_module(f"fractal_tasks.tasks.{task}"), task)
    found = documented_defaults(read_page(f"tasks/{TASK_PAGES[task]}"))
    for name, parameter in inspect.signature(function).parameters.items():
        assert name in found
        default = parameter.default
        if isinstance(default, BaseModel):
            shown_as = getattr(
                default, "type", default.model_dump(exclude_defaults=True)
            )
            assert found[name] == f"`{shown_as}`"
        elif default is not parameter.empty:
            assert found[name] == f"`{default!r}`".replace("'", '"')


def test_every_task_of_the_manifest_has_a_page_and_a_command() -> None:
    for command in list_task_commands():
        assert f"fractal-tasks {command.name} " in read_page("cli")
        assert f"# {command.title}" in read_page(f"tasks/{command.function_name}")


def test_every_command_is_documented() -> None:
    for name in build_app():
        if not name.startswith("-"):
            assert re.search(rf"(`|fractal-tasks ){name}\b", read_page("cli")), name


def test_every_field_of_the_output_format_is_documented() -> None:
    found = documented_defaults(read_page("tasks/apply_registration_to_image"))
    for name, field in OutputFormat.model_fields.items():
        default = "none" if field.default is None else f"`{field.default}`"
        assert found[name] == default


@pytest.mark.parametrize("method", METHODS)
def test_every_parameter_of_a_method_is_documented(method: type[BaseModel]) -> None:
    page = read_page("tasks/calculate_registration")
    found = documented_defaults(page)
    for name, field in method.model_fields.items():
        if name == "type":
            assert f"| `{field.default}` |" in page
        else:
            default = "none" if field.default is None else f"`{field.default}`"
            assert found[name] == default


def test_every_option_of_the_synthetic_plate_is_documented() -> None:
    found = documented_defaults(read_page("synthetic"))
    for name, field in PlateOptions.model_fields.items():
        assert name in found
        if field.default is not None:
            assert found[name].strip("`") == shown(field.default), name


def test_every_stored_column_is_documented() -> None:
    pages = read_page("tasks/calculate_registration")
    pages += read_page("tasks/find_registration_consensus")
    evidence_columns = [EVIDENCE_PREFIX + name for name in EVIDENCE]
    for column in (*OWN_COLUMNS, *evidence_columns):
        assert f"`{column}`" in pages, column


@pytest.mark.parametrize("model", [ConsensusRecord, AppliedRecord, StoredPlacement])
def test_every_stored_field_is_documented(model: type[BaseModel]) -> None:
    page = read_page("storage")
    for name, field in model.model_fields.items():
        assert f"`{field.alias or name}`" in page, name


def test_errors_page_is_what_the_generator_gives() -> None:
    generator = runpy.run_path(str(DOCS / "generate_errors.py"))
    assert read_page("errors") == generator["build_page"](), (
        "run 'python docs/generate_errors.py'"
    )


def test_errors_page_lists_every_class() -> None:
    classes = [
        name
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, errors.FractalTasksError)
    ]
    for name in classes:
        assert f"`{name}`" in read_page("errors")


def test_errors_page_lists_no_message_twice() -> None:
    found = [
        first for first, *rest in table_rows(read_page("errors")) if len(rest) == 2
    ]
    messages = [text for text in found if not re.fullmatch(r"[-\w*. ,%'`]*", text)]
    assert len(messages) > 50
    assert len(set(messages)) == len(messages)


def test_errors_page_quotes_log_lines_and_reasons_that_exist() -> None:
    package = Path(fractal_tasks.__file__).parent
    texts = [
        node.value
        for module in package.rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    page = (DOCS / "errors.md.in").read_text(encoding="utf-8")
    tasks = {"calculate", "consensus", "apply"}
    for quote in re.findall(r"(?<!\*)\*([^*|]+)\*(?!\*)", outside_code(page)):
        if quote.lower() in tasks:
            continue
        for part in re.split(r"\.\.\.|\(.*\)", " ".join(quote.split())):
            assert any(part.strip() in text for text in texts), quote


def slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^\w\s-]", "", plain).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = outside_code(page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
            assert anchor in map(slug, headings), link


def test_navigation_has_every_page_once_but_decisions() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- .+: (\S+\.md)$", config, re.M)
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert sorted(listed) == sorted(p for p in pages if not p.startswith("adr/"))


def test_index_of_decisions_lists_every_one() -> None:
    index = read_page("adr/index")
    for page in DOCS.glob("adr/0*.md"):
        assert f"({page.name})" in index
