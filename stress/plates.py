"""A small plate after each step of a registration, and comparing others with it."""

import importlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fractal_tasks.cli import main as run_command
from fractal_tasks.synthetic import PlateOptions, create_plate

ACQUISITIONS = (0, 1, 2)
TABLE = "FOV_ROI_table_registered"
# Fields of 58 um: small, and most of them can be registered. Tables stored with
# anndata take four times as long as the others.
OPTIONS = {
    "anndata": PlateOptions(
        columns=2,
        fields_y=1,
        field_size_px=64,
        pixel_size_um=0.9,
        channels=1,
        levels=3,
        nuclei_per_mm2=2500,
    ),
}
OPTIONS["csv"] = OPTIONS["anndata"].model_copy(
    update={"ngff_version": "0.5", "table_backend": "csv"}
)
VARIANTS = tuple(OPTIONS)
REGISTER = "register"


@dataclass(frozen=True)
class Unit:
    """One call of a task, as a server makes it; `{plate}` stands for the plate."""

    task: str
    arguments: dict[str, Any]

    def run(self, plate: Path) -> Any:
        """Run it; what a command gives is its exit code."""
        if self.task == REGISTER:
            return run_command([REGISTER, str(plate), *self.arguments["flags"]])
        module = importlib.import_module(f"fractal_tasks.tasks.{self.task}")
        text = json.dumps(self.arguments).replace("{plate}", str(plate))
        return getattr(module, self.task)(**json.loads(text))

    def __str__(self) -> str:
        return f"{self.task} of {self.arguments.get('zarr_url', 'the plate')}"


def register_unit(*, overwrite: bool) -> Unit:
    """The command that runs all tasks on the plate."""
    flags = ["--wavelength-id", "A01_C01", "--level-path", "0", "--min-confidence", "0"]
    flags += ["--workers", "1", "--quiet"]
    return Unit(
        REGISTER, {"flags": [*flags, *([] if overwrite else ["--no-overwrite-input"])]}
    )


def calculate_unit(well: str, acquisition: int, **arguments: Any) -> Unit:
    usual = {
        "zarr_url": f"{{plate}}/{well}/{acquisition}",
        "init_args": {"reference_zarr_url": f"{{plate}}/{well}/0"},
        "wavelength_id": "A01_C01",
        "level_path": "0",
    }
    return Unit("calculate_registration", {**usual, **arguments})


def consensus_unit(well: str, **arguments: Any) -> Unit:
    urls = [f"{{plate}}/{well}/{acquisition}" for acquisition in ACQUISITIONS]
    init_args = {"zarr_url_list": urls}
    return Unit(
        "find_registration_consensus",
        {"zarr_url": urls[0], "init_args": init_args, "min_confidence": 0, **arguments},
    )


def apply_unit(well: str, acquisition: int, *, overwrite: bool) -> Unit:
    arguments = {
        "zarr_url": f"{{plate}}/{well}/{acquisition}",
        "registered_roi_table": TABLE,
        "overwrite_input": overwrite,
    }
    return Unit("apply_registration_to_image", arguments)


class Stages:
    """The same plate after each step, made by one unit after the other.

    Stages are `raw`, `calculated`, `judged`, and from it `applied` (in place) or `kept`
    (beside the input); after `kept` another consensus, `rejudged`, and `reapplied`.
    """

    def __init__(self, folder: Path, variant: str, columns: int = 2) -> None:
        self.folder = folder
        self.wells = [f"A/{column:02}" for column in range(1, columns + 1)]
        options = OPTIONS[variant].model_copy(update={"columns": columns})
        create_plate(self["raw"], options)
        self["raw"].with_name("plate.zarr.truth.json").unlink()
        self._follow("raw", "calculated", self.calculate_units())
        self._follow("calculated", "judged", self.consensus_units())
        self._follow("judged", "applied", self.apply_units(overwrite=True))
        self._follow("judged", "kept", self.apply_units(overwrite=False))

    def add_rejudged(self) -> None:
        """Add the stages `rejudged` and `reapplied`."""
        self._follow("kept", "rejudged", self.consensus_units(keep="reference"))
        self._follow("rejudged", "reapplied", self.apply_units(overwrite=False))

    def __getitem__(self, stage: str) -> Path:
        return self.folder / stage / "plate.zarr"

    def calculate_units(self) -> list[Unit]:
        return [
            calculate_unit(well, acquisition)
            for well in self.wells
            for acquisition in ACQUISITIONS[1:]
        ]

    def consensus_units(self, **arguments: Any) -> list[Unit]:
        return [consensus_unit(well, **arguments) for well in self.wells]

    def apply_units(self, *, overwrite: bool) -> list[Unit]:
        return [
            apply_unit(well, acquisition, overwrite=overwrite)
            for well in self.wells
            for acquisition in ACQUISITIONS
        ]

    def _follow(self, before: str, after: str, units: list[Unit]) -> None:
        shutil.copytree(self[before].parent, self[after].parent)
        for unit in units:
            unit.run(self[after])


Tree = dict[str, bytes | None]


def read_tree(folder: Path) -> Tree:
    """Give the content of every file, and None for every folder, below a folder.

    Images are listed in a well in the order in which they were added: they are sorted.
    """
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        tree[name] = None if path.is_dir() else path.read_bytes()
        is_well = len(Path(name).parts) == 4 and path.name in {"zarr.json", ".zattrs"}
        if is_well:
            tree[name] = _with_sorted_images(path)
    return tree


def _with_sorted_images(path: Path) -> bytes:
    document = json.loads(path.read_text())
    holder = document.get("attributes", document)
    well = holder.get("ome", holder)["well"]
    well["images"].sort(key=lambda image: image["path"])
    return json.dumps(document).encode()


def differences(found: Tree, expected: Tree) -> Iterator[str]:
    """Name what is missing, added or different."""
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} is left over"
        elif found[name] != expected[name]:
            yield f"{name} has another content"
