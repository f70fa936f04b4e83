"""Write docs/errors.md: what is in errors.md.in, and every message of the code.

    python docs/generate_errors.py           writes the page
    python docs/generate_errors.py --check   fails if it is not up to date

The messages are read from the source, nothing of the package is imported. What varies
in a message is shown as ``...``. Its first sentence says what was found, the rest what
to do: a message that keeps to this needs nothing else to stand on the page.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fractal_tasks"
PAGE = ROOT / "docs" / "errors.md"
TEMPLATE = ROOT / "docs" / "errors.md.in"
PLACEHOLDER = "{{ messages }}"

AREAS = {
    "Urls, plates, wells and images": ("discovery", "storage", "storage/plate"),
    "ROI tables": (
        "storage/plate/default_rois",
        "storage/plate/roi_tables",
        "storage/plate/rois",
    ),
    "Calculate": (
        "registration",
        "transforms",
        "records/candidates",
        "records/roi_pairing",
        "records/rows",
        "steps/channel_choice",
        "steps/groups",
        "steps/measure_rois",
        "steps/roi_pairs",
        "tasks/calculate_registration",
        "tasks/init_calculate_registration",
    ),
    "Consensus": (
        "model",
        "qc",
        "records/table_names",
        "records/well_rows",
        "steps/judge_well",
        "steps/well_placements",
        "steps/unsure_pairs",
        "steps/plate_movement",
        "steps/well_verdicts",
        "tasks/find_registration_consensus",
        "tasks/init_find_registration_consensus",
    ),
    "Apply": ("records", "steps", "tasks"),
    "Reading and writing": ("storage/local", "storage/pixels"),
    "Object stores": ("storage/remote",),
    "Command line, Python, reports and demo": (
        "api",
        "cli",
        "demo",
        "dev",
        "report",
        "runner",
        "synthetic",
        "workflow",
    ),
}
"""Where a reader looks, and the modules and folders it is about; the longest counts."""


@dataclass(frozen=True, order=True)
class Message:
    """A message of one of our errors."""

    area: int
    """Index in `AREAS`."""

    found: str
    remedy: str
    error: str
    """Name of its class."""


class Constants:
    """The texts and numbers that modules give names to, also imported ones."""

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        """Collect the names of all modules, by their dotted name."""
        self._values: dict[tuple[str, str], object] = {}
        self._origins: dict[tuple[str, str], tuple[str, str]] = {}
        for module, tree in trees.items():
            for node in tree.body:
                if isinstance(node, ast.Assign) and isinstance(
                    node.value, ast.Constant
                ):
                    for target in node.targets:
                        name = ast.unparse(target)
                        self._values[module, name] = node.value.value
                if isinstance(node, ast.ImportFrom) and node.module:
                    for alias in node.names:
                        origin = node.module, alias.name
                        self._origins[module, alias.asname or alias.name] = origin

    def find(self, module: str, name: str) -> object | None:
        """Give what a name stands for in a module; None if it is no constant."""
        place = module, name
        while place in self._origins:
            place = self._origins[place]
        return self._values.get(place)


def read_package() -> dict[str, ast.Module]:
    """Parse all modules of the package; names as `fractal_tasks.storage.urls`."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def list_error_classes(trees: dict[str, ast.Module]) -> set[str]:
    """Give the names of the classes in `fractal_tasks.errors`."""
    body = trees[f"{PACKAGE.name}.errors"].body
    return {node.name for node in body if isinstance(node, ast.ClassDef)}


def collect_messages() -> list[Message]:
    """Give all messages that have words of their own, each once, in a fixed order."""
    trees = read_package()
    constants = Constants(trees)
    classes = list_error_classes(trees)
    messages = {
        message
        for module, tree in trees.items()
        for message in _find_messages(module, tree, classes, constants)
    }
    return sorted(messages, key=lambda one: (one.area, one.found.casefold(), one))


def _find_messages(
    module: str, tree: ast.Module, classes: set[str], constants: Constants
) -> Iterator[Message]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        texts = [_read_text(part, module, constants) for part in node.args]
        if node.func.id in classes and texts:
            found, remedy = _split(texts[0])
            error = node.func.id
        elif node.func.id in {"reading", "reading_ome"} and len(texts) > 1:
            # They raise what a library said, in parentheses, as an error of ours.
            found, remedy = f"{texts[-2]} (...).", texts[-1]
            error = "InvalidDataError"
        else:
            continue
        # What has no words of its own repeats those of another error.
        if re.search(r"\w{3}", found):
            yield Message(_find_area(module), _without_place(found), remedy, error)


def _read_text(node: ast.expr, module: str, constants: Constants) -> str:
    """Give the text of an expression, with ``...`` for what varies."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        text = "".join(_read_text(part, module, constants) for part in node.values)
        return re.sub(r"(\.\.\.)+", "...", text)
    if isinstance(node, ast.FormattedValue):
        value = None
        if isinstance(node.value, ast.Name):
            value = constants.find(module, node.value.id)
        if value is None:
            return "..."
        spec = node.format_spec and _read_text(node.format_spec, module, constants)
        return repr(value) if node.conversion == ord("r") else format(value, spec or "")
    if isinstance(node, ast.Call) and len(node.args) == 1:
        # `image.where("...")` puts the place before a text.
        return f"...: {_read_text(node.args[0], module, constants)}"
    return "..."


def _split(text: str) -> tuple[str, str]:
    """Split a message after its first sentence."""
    # "... " stands for something, ".... " ends a sentence with it.
    end = re.search(r"(?<=[^.]\.) (?=[A-Z])|(?<=\.{4}) (?=[A-Z])", text)
    return (text[: end.start()], text[end.end() :]) if end else (text, "")


def _without_place(text: str) -> str:
    """Leave out where it is, if the message begins with nothing else."""
    return re.sub(r"^(\.\.\.(/|[:,]? ))+(?=\w)", "", text)


def _find_area(module: str) -> int:
    """Give the area of a module.

    Raises:
        SystemExit: None of them is about it.
    """
    path = "/".join(module.split(".")[1:])
    matches = [
        (len(prefix), index)
        for index, prefixes in enumerate(AREAS.values())
        for prefix in prefixes
        if path == prefix or path.startswith(f"{prefix}/")
    ]
    if not matches:
        raise SystemExit(
            f"{module}: its messages belong to no area of the page. Name it in AREAS "
            f"of {Path(__file__).name}."
        )
    return max(matches)[1]


def format_messages(messages: list[Message]) -> str:
    """Give one table per area that has messages."""
    parts = []
    for index, title in enumerate(AREAS):
        rows = [
            f"| {_escape(one.found)} | {_escape(one.remedy)} | `{one.error}` |"
            for one in messages
            if one.area == index
        ]
        if rows:
            head = ["| found | to do | class |", "|---|---|---|"]
            parts.append("\n".join([f"### {title}", "", *head, *rows]))
    return "\n\n".join(parts)


def _escape(text: str) -> str:
    """Keep Markdown from reading marks in a text as its own."""
    text = text.replace("<", "&lt;")
    text = re.sub(r"[|*`\\]", r"\\\g<0>", text)
    # Between letters `_` is an underscore in any case.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def build_page() -> str:
    """Give the whole page."""
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.replace(PLACEHOLDER, format_messages(collect_messages()))


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description="Write docs/errors.md.")
    parser.add_argument("--check", action="store_true", help="change nothing")
    page = build_page()
    if not parser.parse_args().check:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE} is not up to date. Run 'python docs/{Path(__file__).name}'.")


if __name__ == "__main__":
    main()
