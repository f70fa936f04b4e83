"""Pictures of wells: what consensus did about rejected fields."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from conditions import Condition
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from ours import WELL, make_pairs, read_pixels, run_ours
from rows import Row
from scipy import ndimage

from fractal_tasks.synthetic import PlateOptions, create_plate, load_truth

_TURNED = {
    "acquisitions": 2,
    "channels": 1,
    "labels": False,
    "table_backend": "json",
    "levels": 4,
    "hot_pixels": 0,
    "plate_shift_um": 14.0,
    "stage_jitter_um": 0.3,
    "signal_counts": 300,
}
_SPARSE = PlateOptions(
    fields_y=5,
    fields_x=5,
    field_size_px=400,
    nuclei_per_mm2=500,
    lost_cells=0.2,
    debris_per_field=12,
    empty_fields=2,
    rotation_deg=0.55,
    seed=13,
    **_TURNED,
)
_PERIODIC = PlateOptions(
    fields_y=4,
    fields_x=4,
    field_size_px=384,
    lattice_um=20,
    identical_nuclei=True,
    lost_cells=0.1,
    debris_per_field=0,
    empty_fields=2,
    rotation_deg=0.6,
    seed=1,
    **_TURNED,
)
_MAGNIFIED = 4
_REJECTED = "0.6"
_COLOURS = {
    "measured": "#0072b2",
    "chosen": "#009e73",
    "imputed": "#e69f00",
}


@dataclass(frozen=True)
class _Well:
    options: PlateOptions
    rows: list[Row]
    fixed: npt.NDArray[np.generic]
    moving: npt.NDArray[np.generic]
    """Fields in the order of `rows`, shape ``(n, y, x)``."""
    nuclei: list[int]


def _register(options: PlateOptions) -> _Well:
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-pictures-") as folder:
        plate = create_plate(Path(folder) / "plate.zarr", options)
        pairs = make_pairs(plate, Condition("picture", options))
        rows = list(run_ours(plate, pairs, ["2"]))
        pixels = read_pixels(plate, pairs)
        truth = load_truth(plate)
    nuclei = [truth.field(WELL, 1, pair.roi).nuclei for pair in pairs]
    fixed, moving = (pixels[f"{side}_0"][:, 0] for side in ("fixed", "moving"))
    return _Well(options, rows, fixed, moving, nuclei)


def draw_rejected_field() -> Figure:
    """Draw a rejected field with each of its translations."""
    well = _register(_SPARSE)
    index = _choose_rejected(well)
    row = well.rows[index]
    figure, axes = plt.subplots(1, 3, figsize=(8, 3.3), layout="constrained")
    found, final = (px[1:] for px in (row.found_px, row.final_px or row.found_px))
    for panel, shift_px, title in zip(
        axes,
        ([0.0, 0.0], found, final),
        (
            "as it lies",
            f"as measured, confidence {row.score:.2f}:\nrejected, wrong by "
            f"{row.error_px:.0f} px",
            f"after consensus: imputed,\nright within {row.final_error_px:.1f} px",
        ),
        strict=True,
    ):
        panel.imshow(_overlay(well.fixed[index], well.moving[index], shift_px))
        panel.set_title(title, fontsize=10)
        panel.set(xticks=[], yticks=[])
        _draw_scale_bar(panel, 20 / well.options.pixel_size_um, "20 um")
    return figure


def draw_wells() -> Figure:
    """Draw the translations of all fields of two wells, before and after consensus."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 4.9), layout="constrained")
    for panel, options, title in zip(
        axes,
        (_SPARSE, _PERIODIC),
        ("Few cells, much debris", "Periodic sample, 2 fields empty"),
        strict=True,
    ):
        _draw_map(panel, _register(options), title)
    # The periodic well has every kind of arrow.
    figure.legend(
        *axes[1].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )
    return figure


def _choose_rejected(well: _Well) -> int:
    """Choose the imputed field with most cells among those measured very wrongly."""
    wrong = [
        index
        for index, row in enumerate(well.rows)
        if row.status == "imputed" and row.error_px > 50
    ]
    return max(wrong, key=lambda index: well.nuclei[index])


def _overlay(
    fixed: npt.NDArray[np.generic],
    moving: npt.NDArray[np.generic],
    shift_px: Sequence[float],
) -> npt.NDArray[np.floating]:
    """Show the reference in green and the moved acquisition in magenta."""
    moved = ndimage.shift(moving.astype(float), np.rint(shift_px), order=0, cval=np.nan)
    green, magenta = _stretch(fixed.astype(float)), _stretch(moved)
    return np.stack([magenta, green, magenta], axis=-1)


def _stretch(image: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    low, high = np.nanpercentile(image, (1, 99.5))
    stretched: npt.NDArray[np.floating] = np.clip((image - low) / (high - low), 0, 1)
    return np.nan_to_num(stretched)


def _draw_scale_bar(axes: Axes, length_px: float, label: str) -> None:
    right, bottom = axes.get_xlim()[1] - 15, axes.get_ylim()[0] - 15
    axes.plot([right - length_px, right], [bottom, bottom], color="white", linewidth=3)
    axes.text(
        right - length_px / 2,
        bottom - 8,
        label,
        color="white",
        ha="center",
        va="bottom",
        fontsize=9,
    )


def _draw_map(axes: Axes, well: _Well, title: str) -> None:
    options = well.options
    size_um = options.field_size_px * options.pixel_size_um
    corners_um = np.array([row.pair.start_px[0][1:] for row in well.rows])
    corners_um *= options.pixel_size_um
    for y, x in corners_um:
        axes.add_patch(
            Rectangle((x, y), size_um, size_um, fill=False, edgecolor="0.85")
        )
    centres_um = corners_um + size_um / 2
    replaced = [row.status != "measured" for row in well.rows]
    _draw_arrows(
        axes,
        centres_um[replaced],
        [row.found_px for row in well.rows if row.status != "measured"],
        options,
        color=_REJECTED,
        label="rejected estimate",
    )
    for status, colour in _COLOURS.items():
        own = [row.status == status for row in well.rows]
        _draw_arrows(
            axes,
            centres_um[own],
            [row.final_px or [] for row in well.rows if row.status == status],
            options,
            color=colour,
            label=status,
        )
    extent_um = options.fields_y * size_um
    axes.set(
        aspect="equal",
        xlim=(-60, extent_um + 60),
        ylim=(extent_um + 60, -60),
        xlabel="x (um)",
        ylabel="y (um)",
        title=f"{title}\n(arrows {_MAGNIFIED} times as long)",
    )


def _draw_arrows(
    axes: Axes,
    centres_um: npt.NDArray[np.floating],
    translations_px: Sequence[Sequence[float]],
    options: PlateOptions,
    *,
    color: str,
    label: str,
) -> None:
    if not translations_px:
        return
    y_um, x_um = np.array(translations_px)[:, 1:].T * options.pixel_size_um
    axes.quiver(
        centres_um[:, 1],
        centres_um[:, 0],
        x_um,
        y_um,
        angles="xy",
        scale_units="xy",
        scale=1 / _MAGNIFIED,
        width=0.008,
        color=color,
        label=label,
    )
