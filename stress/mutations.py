"""Damage one file of a plate in a random way, register it, and look at what is there.

Usage: `python -m stress.mutations [--mutations N] [--seed N] [--folder PATH]`. Ends
with exit code 1 at the first fault, and says which mutation it was; `--first N` begins
with that one.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ngio

from fractal_tasks.cli import main as run_command
from fractal_tasks.records.applied import is_registered
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import create_plate
from stress.launcher import PRELOADED
from stress.plates import OPTIONS, VARIANTS, Tree
from stress.workers import Fault, be_quiet, report_success

LIMIT_S = 120
"""For a run that takes three seconds undisturbed."""

VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 3, 2**70, 0.5, -1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "0",
        "..",
        "../../../outside",
        "/",
        "a\0b",
        [],
        {},
        [[]],
        [None],
        "9" * 5000,
    ),
)
"""What takes the place of a value in metadata."""

WELL = "A/01"
Swap = Callable[[Path], object]


class Mutations:
    """Mutations of one set of plates."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._plates = {
            variant: create_plate(
                folder / variant / "plate.zarr",
                OPTIONS[variant].model_copy(update={"labels": True, "acquisitions": 2}),
            )
            for variant in VARIANTS
        }

    def run(self, number: int) -> None:
        """Make a mutation, and register the plate.

        Raises:
            Fault: There was a traceback, no end, nothing that names the plate, or
                something was lost, torn or touched that should not be.
        """
        rng = random.Random(f"{self.seed} {number}")
        variant = rng.choice(VARIANTS)
        folder = self.folder / "mutated"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._plates[variant].parent, folder)
        plate, outside = folder / "plate.zarr", folder / "outside"
        outside.mkdir()
        (outside / "results.csv").write_text("dear")
        path, what = mutate(plate, outside, rng)
        flags = rng.choice([["--yes"], ["--no-overwrite-input"]])
        before = read_tree_of_files(folder)
        code, shown = run_in_child(["register", str(plate), *flags])
        where = f"{what} of {path.relative_to(folder)} {' '.join(flags)}"
        try:
            self._look(folder, plate, path, before, code, shown)
        except Fault as fault:
            raise Fault(f"mutation {number}, {where}: {fault}\n{shown}") from fault
        self.counts[f"exit code {code}"] += 1
        self.counts[what] += 1

    def _look(
        self,
        folder: Path,
        plate: Path,
        path: Path,
        before: Tree,
        code: int,
        shown: str,
    ) -> None:
        if code not in (0, 1, 2):
            raise Fault(f"exit code {code}")
        if "Traceback" in shown:
            raise Fault("a traceback")
        if code and str(plate) not in shown and "Error: Nothing is res" not in shown:
            raise Fault("no message names what is wrong")
        if (folder / "outside" / "results.csv").read_text() != "dear":
            raise Fault("something outside was changed")
        if {one.name for one in (folder / "outside").iterdir()} != {"results.csv"}:
            raise Fault("something outside was added")
        after = read_tree_of_files(folder)
        if any("/.fractal-tasks" in name for name in after):
            raise Fault("a hidden folder is left")
        for image in sorted(plate.glob("*/*/[012]")):
            self._look_at_image(image, folder, before, after)
        if path.is_relative_to(plate / WELL):
            # Of the other well nothing is damaged.
            for image in (plate / "A/02").glob("[012]"):
                beside = image.with_name(f"{image.name}_registered")
                made = beside if beside.exists() else image
                if not is_registered(parse_image_url(str(made))):
                    raise Fault(f"{made} is not registered")

    def _look_at_image(
        self, image: Path, folder: Path, before: Tree, after: Tree
    ) -> None:
        """An image is what it was, but for its tables, or the registered one."""
        start = f"{image.relative_to(folder)}/"
        old, new = (
            {
                name: content
                for name, content in tree.items()
                if name.startswith(start) and not name.startswith(f"{start}tables")
            }
            for tree in (before, after)
        )
        if old == new:
            return
        container = ngio.open_ome_zarr_container(image)
        for level in container.level_paths:
            container.get_image(path=level).get_as_numpy()
        for label in container.list_labels():
            container.get_label(label).get_as_numpy()
        if not is_registered(parse_image_url(str(image))):
            raise Fault(f"{image} was changed, and is not registered")


def read_tree_of_files(folder: Path) -> Tree:
    """As `read_tree`, where anything may be a link, a pipe or no JSON."""
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        is_file = path.is_file() and not path.is_symlink()
        tree[str(path.relative_to(folder))] = path.read_bytes() if is_file else None
    return tree


def run_in_child(words: list[str]) -> tuple[int, str]:
    """Run a command in a process of its own; give the exit code and what it shows."""
    with tempfile.TemporaryFile("w+") as shown:
        child = os.fork()
        if child == 0:
            signal.alarm(LIMIT_S)
            # Whoever runs the tests may have put something else in their place.
            sys.stdout = sys.stderr = shown
            code = 99
            try:
                flags = ["--wavelength-id", "A01_C01", "--level-path", "0"]
                code = run_command([*words, *flags, "--workers", "1", "--quiet"])
            except BaseException:  # noqa: BLE001 - whatever it is, it is shown
                sys.excepthook(*sys.exc_info())
            finally:
                shown.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        shown.seek(0)
        return code, shown.read()


def mutate(plate: Path, outside: Path, rng: random.Random) -> tuple[Path, str]:
    """Damage one file or folder; give it, and what was done."""
    places = sorted(plate.rglob("*"))
    documents = [
        one for one in places if one.name in {".zattrs", ".zarray", "zarr.json"}
    ]
    others = [one for one in places if one.is_file() and one not in documents]
    folders = [one for one in places if one.is_dir()]
    kind = rng.choice(["metadata", "metadata", "bytes", "bytes", "file", "folder"])
    if kind == "metadata":
        path = rng.choice(documents)
        return path, f"metadata: {mutate_json(path, rng)}"
    if kind == "bytes":
        path = rng.choice([*others, *documents])
        content = bytearray(path.read_bytes())
        what = rng.choice(["cut", "flipped", "emptied", "prolonged"])
        if what == "cut":
            del content[rng.randrange(max(1, len(content))) :]
        elif what == "flipped" and content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif what == "emptied":
            content.clear()
        else:
            content += bytes(rng.randrange(256) for _ in range(9))
        path.write_bytes(content)
        return path, what
    path = rng.choice([*others, *documents] if kind == "file" else folders)
    swaps: dict[str, Swap] = {
        "a folder": Path.mkdir,
        "a named pipe": os.mkfifo,
        "a link outside": lambda one: one.symlink_to(outside / "results.csv"),
        "a link to itself": lambda one: one.symlink_to(one),
        "a dead link": lambda one: one.symlink_to(outside / "nothing"),
        "a file": lambda one: one.write_text("x"),
        "nothing": lambda one: None,
    }
    what = rng.choice(sorted(swaps))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    swaps[what](path)
    return path, f"{kind} replaced by {what}"


def mutate_json(path: Path, rng: random.Random) -> str:
    """Change one value of a document, or take it away."""
    document = json.loads(path.read_text())
    spots = list(_spots(document))
    if not spots:
        path.write_text(json.dumps(rng.choice(VALUES)))
        return "another document"
    holder, key = rng.choice(spots)
    what = rng.choice(["removed", "replaced", "replaced", "repeated"])
    if what == "removed":
        del holder[key]
    elif what == "repeated" and isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[key] = rng.choice(VALUES)
        what = "replaced"
    path.write_text(json.dumps(document))
    return what


def _spots(document: Any) -> Any:
    """Give each list and object of a document with each of its keys."""
    keys: Any = ()
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = range(len(document))
    for key in keys:
        yield document, key
        yield from _spots(document[key])


def main() -> int:
    """Run all mutations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for plates; default: temporary")
    options = parser.parse_args()
    be_quiet()
    for name in PRELOADED:
        importlib.import_module(name)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(
        prefix="fractal-tasks-stress-", dir=options.folder
    ) as name:
        mutations = Mutations(Path(name), options.seed)
        for number in range(options.first, options.first + options.mutations):
            try:
                mutations.run(number)
            except Fault as fault:
                print(f"FAULT (seed {options.seed}): {fault}")
                return 1
            if number % 100 == 99:
                print(f"{number + 1} mutations, {time.monotonic() - start:.0f} s")
    report_success(mutations.counts, start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
