"""Pictures of methods: one field before and after, drawn by `plate_scenes`."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from beyond_run import load_tasks
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from ngio import open_ome_zarr_container
from plate_drawing import draw_plate, read_places
from plate_geometry import PIXEL_UM, PlateKind

from fractal_tasks.report import overlay

Image = npt.NDArray[np.generic]
Method = dict[str, Any]

_SEED = 400_000
"""Plates that no benchmark measures."""
_ONE_FIELD: dict[str, Any] = {"grid": (1, 1), "wells": 1}
_CORRELATION: Method = {"type": "phase_cross_correlation"}
_CROP_PX = 128
_GRID_PX, _TIMES = 32, 3
"""Distance of the lines that are bent, and how many times as far as they are."""

_FILES_PAGE = Path(__file__).parents[2] / "docs" / "methods" / "elastix_files.md"


@dataclass(frozen=True)
class _Registered:
    """A field of the reference, and of the acquisition before and after."""

    fixed: Image
    before: Image
    after: Image
    places: npt.NDArray[np.floating]
    """Where the pixels after it were before, NaN where nothing is kept."""


def draw_turned() -> Figure:
    """Draw a turned field after a shift, and after a similarity."""
    kind = PlateKind("", rotation_deg=1, scale=1.005, **_ONE_FIELD)
    shift, similarity = _register(
        kind, [_CORRELATION, {**_CORRELATION, "motion": "similarity"}]
    )
    figure, axes = _draw_panels(1, 3)
    _show(axes[0], shift, shift.before, "as it lies")
    corner = _mark_crop(axes[0], (30, 330))
    _show(axes[1], shift, shift.after, 'motion="shift"', corner)
    _show(axes[2], similarity, similarity.after, 'motion="similarity"', corner)
    return figure


def draw_noisy() -> Figure:
    """Draw a field of much noise and a few bright structures, before and after."""
    kind = PlateKind("", "sparse", signal=8, **_ONE_FIELD)
    (found,) = _register(kind, [{"type": "chi2_shift"}])
    figure, axes = _draw_panels(1, 2)
    _show(axes[0], found, found.before, "as it lies")
    _show(axes[1], found, found.after, "chi2_shift")
    return figure


def draw_bent() -> Figure:
    """Draw a bent field after a shift and after B-splines, and how it is bent."""
    kind = PlateKind("", "membranes", bend_px=8, **_ONE_FIELD)
    bspline = {"type": "elastix", "transform": "bspline"}
    shift, bent = _register(kind, [_CORRELATION, bspline])
    figure, axes = _draw_panels(2, 2)
    _show(axes[0], shift, shift.before, "as it lies")
    corner = _mark_crop(axes[0], (300, 300))
    _show(axes[1], shift, shift.after, "phase_cross_correlation: a shift", corner)
    _show(axes[2], bent, bent.after, 'transform="bspline"', corner)
    _draw_grid(axes[3], bent)
    return figure


def draw_files() -> Figure:
    """Draw a field that turned, before and after elastix with the file of its page."""
    kind = PlateKind("", "lobed", rotation_deg=3, **_ONE_FIELD)
    _, text, *_ = re.split(r"```(?:text)?\n", _FILES_PAGE.read_text())
    (found,) = _register(kind, [{"type": "elastix_files", "parameter_files": [text]}])
    figure, axes = _draw_panels(1, 2)
    _show(axes[0], found, found.before, "as it lies")
    _show(axes[1], found, found.after, "elastix_files")
    return figure


def _register(kind: PlateKind, methods: Sequence[Method]) -> list[_Registered]:
    """Draw a plate of one field, and run all tasks with each method."""
    workflow = load_tasks()
    results = []
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-pictures-") as folder:
        drawn = draw_plate(Path(folder) / "drawn.zarr", kind, _SEED)
        fixed, before = (_read_sample(url) for url in drawn.urls)
        for method in methods:
            path = Path(shutil.copytree(drawn.path, Path(folder) / "copy.zarr"))
            urls = drawn.at(path).urls
            found = workflow.run(urls, folder, method=method)
            if found["failed"]:
                raise RuntimeError(f"{method}: {found['failed']}")
            image = open_ome_zarr_container(urls[1]).get_image().get_array()
            places = read_places(image)[0]
            places[places[..., 0] < 0] = np.nan
            after = image[0, 0]
            # Where nothing is kept, only the reference should show.
            after = np.where(after == 0, np.percentile(after[after > 0], 1), after)
            results.append(_Registered(fixed, before, after, places))
            shutil.rmtree(path)
    return results


def _read_sample(url: str) -> Image:
    image: Image = open_ome_zarr_container(url).get_image().get_array()[0, 0]
    return image


def _draw_panels(rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    side = 8 / columns
    size = (8, rows * (side + 0.3))
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained")
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[])
    return figure, list(axes.flat)


def _show(
    axes: Axes,
    field: _Registered,
    moving: Image,
    title: str,
    corner_px: tuple[int, int] = (0, 0),
) -> None:
    """Draw the reference in green, the other in magenta; whole, or from a corner."""
    picture = overlay._overlay(field.fixed, moving)
    length_um = 50
    if corner_px != (0, 0):
        y, x = corner_px
        picture = picture[y : y + _CROP_PX, x : x + _CROP_PX]
        length_um = 10
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    _draw_scale_bar(axes, length_um, len(picture))


def _mark_crop(axes: Axes, corner_px: tuple[int, int]) -> tuple[int, int]:
    y, x = corner_px
    box = Rectangle((x, y), _CROP_PX, _CROP_PX, fill=False, color="white", lw=1.5)
    axes.add_patch(box)
    return corner_px


def _draw_scale_bar(axes: Axes, length_um: float, size_px: int) -> None:
    length, edge = length_um / PIXEL_UM, 0.05 * size_px
    y = size_px - edge
    axes.plot([edge, edge + length], [y, y], color="white", lw=3)
    axes.text(
        edge + length / 2,
        y - 0.02 * size_px,
        f"{length_um:g} um",
        color="white",
        ha="center",
        va="bottom",
        fontsize=9,
    )


def _draw_grid(axes: Axes, field: _Registered) -> None:
    """Draw where the transform has the lines of a grid, against their mean shift."""
    lines = np.indices(field.fixed.shape).transpose(1, 2, 0).astype(float)
    bent = field.places - lines
    bent -= np.nanmean(bent, axis=(0, 1))
    lines += _TIMES * bent
    for at in range(0, len(lines), _GRID_PX):
        for line in (lines[at], lines[:, at]):
            axes.plot(line[:, 1], line[:, 0], color="#0072b2", lw=1)
    axes.set(aspect="equal", xlim=(0, len(lines)), ylim=(len(lines), 0))
    axes.set_title(f"displacements, {_TIMES} times as long", fontsize=10)
