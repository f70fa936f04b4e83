"""What became of a plate, as `register` shows it: as text, as JSON data, as CSV."""

import csv
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.qc.usability import judge_plate
from fractal_tasks.report.results import (
    GroupResult,
    RoiResult,
    by_acquisition,
    by_well,
)
from fractal_tasks.transforms import Vector

_WIDTH = 100
"""Columns of the text, unless numbers need more."""

_MAX_WELLS = 20
"""What fits on a screen; all are in the JSON."""

_LEGEND = (
    "y x: median shift; conf.: lowest confidence; error: largest standard error (px);\n"
    "left: how far (px) turn, scale, warp leave places off; kept: mean part"
)
_COUNTS = ("measured", "chosen", "imputed", "unresolved")
_Cell = Callable[[GroupResult], str]
_ACQUISITION: dict[str, _Cell] = {"acq.": lambda one: str(one.acquisition)}


def describe_results(results: Sequence[RoiResult], left_out: int = 0) -> str:
    """Say whether a plate is usable, then tell of acquisitions and the worst wells.

    Args:
        results: Of all ROIs.
        left_out: Number of images and wells that failed, or could not be read.

    Returns:
        Empty without results.
    """
    if not results:
        return ""
    # Stacks of one plane do not move along z.
    has_z = any(one.has_z for one in results)
    acquisitions, wells = by_acquisition(results), by_well(results)
    plates = dict.fromkeys(one.plate_url for one in acquisitions)
    tables = []
    for plate in plates:
        own = [one for one in acquisitions if one.plate_url == plate]
        tables.append(
            _make_table(f"Acquisitions of {_name(plate)}", own, has_z, _ACQUISITION)
        )
    in_plates = [one for one in wells if not one.lone_image]
    columns = {"well": lambda one: one.well or "", **_ACQUISITION}
    if len(plates) > 1:
        columns = {"plate": lambda one: _name(one.plate_url), **columns}
    if _are_several(wells):
        columns["image"] = _image_name
    alone = [one for one in wells if one.lone_image]
    for what, groups, leading in (
        ("Wells", in_plates, columns),
        ("Images", alone, {"image": lambda one: one.lone_image}),
    ):
        if groups:
            shown = groups[:_MAX_WELLS]
            title = f"{what}, worst first ({len(shown)} of {len(groups)})"
            tables.append(_make_table(title, shown, has_z, leading))
    verdict = textwrap.fill(str(judge_plate(results, left_out=left_out)), _WIDTH)
    return f"{verdict}\n\n{_render(tables)}"


def describe_lost(results: Sequence[RoiResult]) -> str:
    """Name the wells, or images, in which no ROI is resolved; '' if there are none."""
    wells = by_well(results)
    plates = {one.plate_url for one in wells if not one.lone_image}
    lost = [
        one.lone_image
        or (f"{_name(one.plate_url)} " if len(plates) > 1 else "")
        + f"{one.well} acquisition {one.acquisition}"
        + (f" image {_image_name(one)}" if _are_several(wells) else "")
        for one in wells
        if one.is_lost
    ]
    if not lost:
        return ""
    names = ", ".join(lost[:_MAX_WELLS])
    return f"Nothing is resolved in {len(lost)} of {len(wells)}: {names}."


def _are_several(wells: Sequence[GroupResult]) -> bool:
    """Whether a well has several images of an acquisition, e.g. one for each field."""
    in_plates = [one for one in wells if not one.lone_image]
    places = {(one.plate_url, one.well, one.acquisition) for one in in_plates}
    return len(places) < len(in_plates)


def results_as_data(results: Sequence[RoiResult], left_out: int = 0) -> dict[str, Any]:
    """Give the same of all wells, and every ROI, as JSON data."""
    verdict = judge_plate(results, left_out=left_out)
    return {
        "verdict": {"usability": verdict.usability, "sentence": verdict.sentence},
        "acquisitions": [asdict(one) for one in by_acquisition(results)],
        "wells": [asdict(one) for one in by_well(results)],
        "rois": [one.as_data() for one in results],
    }


def check_csv(path: Path) -> None:
    """Find out before long work whether a file can be written.

    Raises:
        InvalidInputError: It cannot.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InvalidInputError(
            f"--csv {str(path)!r}: needed is the name of a file in a folder that is "
            "there. Make the folder, or choose another."
        )


def write_csv(path: Path, results: Iterable[RoiResult]) -> None:
    """Write a table with one row per ROI.

    Raises:
        PublishError: It cannot be written.
    """
    rows = [one.as_cells() for one in results]
    names = list(dict.fromkeys(name for row in rows for name in row))
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise PublishError(
            f"--csv {str(path)!r}: the table of results could not be written "
            f"({error}). The plate is as the tasks left it. Choose another file next "
            "time; the registered ROI tables of the plate say the same."
        ) from error


def _render(tables: Sequence[Table]) -> str:
    unlimited = Console(width=10 * _WIDTH)
    widths = [unlimited.measure(table).maximum for table in tables]
    console = Console(width=max(_WIDTH, *widths))
    with console.capture() as capture:
        console.print(*tables, _LEGEND, highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines())


def _make_table(
    title: str,
    groups: Sequence[GroupResult],
    has_z: bool,
    columns: Mapping[str, _Cell],
) -> Table:
    axes = "z y x" if has_z else "y x"
    cells: dict[str, _Cell] = {
        **columns,
        f"{axes} (um)": lambda one: _format_shift(one, one.shift_um, has_z),
        f"{axes} (px)": lambda one: _format_shift(one, one.shift_px, has_z),
        **{name: _count_cell(name) for name in _COUNTS},
        "conf.": lambda one: _format(one.lowest_confidence, ".2f"),
        "error": lambda one: _format(one.largest_error_px, ".2f"),
        "left": lambda one: _format(one.largest_left_px, ".1f"),
        "kept": lambda one: _format(one.kept, ".1%"),
    }
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    for name in cells:
        # A number that is broken into two lines, or cut, would be read as another one.
        table.add_column(name, justify="right", no_wrap=name not in {"plate", "image"})
    for one in groups:
        table.add_row(*(cell(one) for cell in cells.values()))
    return table


def _count_cell(status: str) -> _Cell:
    def cell(one: GroupResult) -> str:
        return "-" if one.is_reference else str(getattr(one, status))

    return cell


def _format_shift(one: GroupResult, shift: Vector | None, has_z: bool) -> str:
    if one.is_reference:
        return "reference"
    if shift is None:
        return "-"
    return " ".join(f"{part:.1f}" for part in (shift if has_z else shift[1:]))


def _format(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _image_name(one: GroupResult) -> str:
    return (one.zarr_url or "").rpartition("/")[2]


def _name(plate_url: str) -> str:
    return plate_url.rpartition("/")[2]
