"""The commands `transforms`: show transforms, and give them to other software."""

from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import numpy as np

from fractal_tasks.cli.exchange import RecordOptions, write_new
from fractal_tasks.cli.output import OutputOptions, Reporter
from fractal_tasks.records.stored_plan import StoredPlacement
from fractal_tasks.steps.point_map import read_placements
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms.exchange import to_itk, to_matrix, to_store

_DEFAULT = OutputOptions()
_RECORD = RecordOptions()

Format: TypeAlias = Literal["rfc5", "itk", "matrix"]


def inspect_transforms(
    image: str,
    *,
    record: RecordOptions = _RECORD,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Show the transform of each ROI of an acquisition, as it is stored.

    Args:
        image: The acquisition, before or after its registration.
        record: Where its transforms are.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        url = record.locate(image)
        placements = read_placements(url, record.registered_roi_table)
    lines, data = [], []
    for one in placements:
        transform = one.placement.transform
        middle_px = np.add(one.source.start, one.source.stop) / 2
        z, y, x = transform.displacement_at(middle_px * one.pixel_sizes.moving_um)
        how = "whole pixels" if one.is_copied else "interpolated"
        lines.append(
            f"{one.roi}: {transform.type}, moves its middle by z={z:.3f}, y={y:.3f}, "
            f"x={x:.3f} um; {how}"
        )
        data.append(one.model_dump(mode="json"))
    reporter.show("\n".join(lines), {"image": url.zarr_url, "transforms": data})
    return 0


def export_transforms(
    image: str,
    *,
    format: Format,  # noqa: A002 - the word that users know
    output: Path,
    record: RecordOptions = _RECORD,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Write the transforms of an acquisition for other software, one for each ROI.

    Args:
        image: The acquisition, before or after its registration.
        format: `rfc5` for OME-Zarr 0.6 transformation stores (ngff-zarr), `itk` for
            transform files (ITK, SimpleITK, ANTs, 3D Slicer), `matrix` for texts of a
            4 x 4 matrix (napari, numpy).
        output: Folder to write into; what is there already is left alone.
        record: Where its transforms are.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        url = record.locate(image)
        placements = read_placements(url, record.registered_roi_table)
        is_flat = open_image(url).grid.is_flat
        files = {
            output / _name(one.roi, format): _write(one, url, format, is_flat=is_flat)
            for one in placements
        }
        write_new(files)
    written = list(map(str, files))
    reporter.show("\n".join(f"Wrote {path}" for path in written), {"files": written})
    return 0


def _name(roi: str, kind: Format) -> Path:
    """Give where the file of a ROI lies; its name may hold anything."""
    safe = quote(roi, safe=" ")
    if kind == "rfc5":
        return Path(f"{safe}.ome.zarr") / "zarr.json"
    return Path(f"{safe}.tfm" if kind == "itk" else f"{safe}.txt")


def _write(
    stored: StoredPlacement, url: ImageUrl, kind: Format, *, is_flat: bool
) -> str:
    transform, pixels = stored.placement.transform, stored.pixel_sizes
    if kind == "itk":
        return to_itk(transform, pixels, ndim=2 if is_flat else 3)
    if kind == "matrix":
        return to_matrix(transform, pixels)
    provenance: dict[str, Any] = {"image": url.zarr_url, "roi": stored.roi}
    return to_store(transform, pixels, provenance)
