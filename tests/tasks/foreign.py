"""Plates as programs other than this one write them: with zarr, and ROIs with ngio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from ngio import Roi, open_ome_zarr_container
from ngio.tables import RoiTable

from fractal_tasks.storage.plate.roi_tables import own_columns_known

WELL = "A/01"
TABLE = "FOV_ROI_table"
PIXEL_UM = 0.5
SPACING = {"z": 1.0, "y": PIXEL_UM, "x": PIXEL_UM}
"""Pixel size at level 0, in the unit of the image."""

Box = tuple[float, float, float, float]
"""First row and column, height and width, in pixels of level 0."""


def write_plate(
    plate: Path, images: Sequence[Mapping[str, Any]], zarr_format: int = 2
) -> list[str]:
    """Write a plate with one well.

    Args:
        plate: Its folder.
        images: Arguments of `write_image`, one image for each acquisition.
        zarr_format: 2 for OME-Zarr 0.4, 3 for 0.5.

    Returns:
        The urls of the images.
    """
    acquisitions = range(len(images))
    row, column = WELL.split("/")
    well = {"path": WELL, "rowIndex": 0, "columnIndex": 0}
    metadata = {
        "rows": [{"name": row}],
        "columns": [{"name": column}],
        "wells": [well],
        "acquisitions": [{"id": one} for one in acquisitions],
    }
    _write_group(plate, {"plate": metadata}, zarr_format)
    _write_group(plate / row, {}, zarr_format)
    listed = [{"path": str(one), "acquisition": one} for one in acquisitions]
    _write_group(plate / WELL, {"well": {"images": listed}}, zarr_format)
    for one, arguments in zip(acquisitions, images, strict=True):
        write_image(plate / WELL / str(one), zarr_format=zarr_format, **arguments)
    return [f"{plate}/{WELL}/{one}" for one in acquisitions]


def write_image(
    folder: Path,
    pixels: npt.NDArray[Any],
    axes: str = "cyx",
    *,
    spacing: Mapping[str, float] = SPACING,
    unit: str | Mapping[str, str] | None = "micrometer",
    origins: Sequence[Mapping[str, float]] = ({}, {}),
    outer: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, npt.NDArray[Any]] | None = None,
    rois: Mapping[str, Box] | None = None,
    roi_unit: float = 1.0,
    zarr_format: int = 2,
) -> None:
    """Write an image of two levels.

    Args:
        folder: Where.
        pixels: Level 0.
        axes: Its axes.
        spacing: Pixel size by axis.
        unit: Of all axes of space, or by axis.
        origins: Translation of each level, by axis.
        outer: Transformations of the pyramid as a whole.
        labels: Level 0 of labels, with the axes of the image but c.
        rois: What is in its ROI table; left out, one ROI that is the whole image.
        roi_unit: By what the ROI table is multiplied.
        zarr_format: 2 for OME-Zarr 0.4, 3 for 0.5.
    """
    units = unit if isinstance(unit, Mapping) else dict.fromkeys("zyx", unit)
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    for one in described:
        if units.get(one["name"]):
            one["unit"] = str(units[one["name"]])
    levels = [pixels, pixels[..., ::2, ::2]]
    datasets = []
    for index, origin in enumerate(origins):
        size = {**spacing, **{axis: spacing[axis] * 2**index for axis in "yx"}}
        steps = [{"type": "scale", "scale": [size.get(axis, 1.0) for axis in axes]}]
        if origin:
            moved = [float(origin.get(axis, 0.0)) for axis in axes]
            steps.append({"type": "translation", "translation": moved})
        datasets.append({"path": str(index), "coordinateTransformations": steps})
    multiscale: dict[str, Any] = {"axes": described, "datasets": datasets}
    if outer:
        multiscale["coordinateTransformations"] = list(outer)
    channel = {"label": "DAPI", "color": "00FFFF", "wavelength_id": "A01_C01"}
    window = {"min": 0, "max": 65535, "start": 0, "end": 2000}
    omero = {"channels": [{**channel, "active": True, "window": window}]}
    metadata = {"multiscales": [multiscale], "omero": omero}
    _write_group(folder, metadata, zarr_format)
    _write_levels(folder, levels, zarr_format)
    own = [axis for axis in described if axis["name"] != "c"]
    for name, label in (labels or {}).items():
        _write_label(folder, name, label, multiscale, own, zarr_format)
    whole = {"FOV_1": (0, 0, pixels.shape[-2], pixels.shape[-1])}
    write_rois(folder, rois or whole, pixels.shape[axes.find("z")], spacing, roi_unit)


def write_rois(
    image: Path,
    boxes: Mapping[str, Box],
    planes: int,
    spacing: Mapping[str, float] = SPACING,
    factor: float = 1.0,
) -> None:
    """Write a ROI table, of boxes in pixels, in the unit of the image."""
    sizes = {axis: size * factor for axis, size in spacing.items()}
    rois = [
        Roi.from_values(
            name=name,
            slices={
                "z": (0.0, planes * sizes["z"]),
                "y": (y * sizes["y"], height * sizes["y"]),
                "x": (x * sizes["x"], width * sizes["x"]),
            },
        )
        for name, (y, x, height, width) in boxes.items()
    ]
    with own_columns_known():
        container = open_ome_zarr_container(str(image), mode="r+")
        container.add_table(TABLE, RoiTable(rois=rois), backend="json", overwrite=True)


def multiscale_of(image: str, inner: str = "") -> dict[str, Any]:
    """Read the stored metadata of an image or of a label in it."""
    attributes: Any = zarr.open_group(f"{image}/{inner}", mode="r").attrs.asdict()
    multiscale: dict[str, Any] = attributes.get("ome", attributes)["multiscales"][0]
    return multiscale


def read_array(image: str, path: str = "0") -> npt.NDArray[Any]:
    """Read a level, whatever lies in it."""
    return np.asarray(zarr.open_array(f"{image}/{path}", mode="r")[...])


def _write_label(
    image: Path,
    name: str,
    pixels: npt.NDArray[Any],
    multiscale: Mapping[str, Any],
    axes: Sequence[Mapping[str, str]],
    zarr_format: int,
) -> None:
    count = len(axes)

    def without_channels(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                key: part[-count:] if isinstance(part, list) else part
                for key, part in step.items()
            }
            for step in holder.get("coordinateTransformations", ())
        ]

    datasets = [
        {
            "path": level["path"],
            "coordinateTransformations": without_channels(level),
        }
        for level in multiscale["datasets"]
    ]
    own: dict[str, Any] = {"axes": list(axes), "datasets": datasets}
    if "coordinateTransformations" in multiscale:
        own["coordinateTransformations"] = without_channels(multiscale)
    folder = image / "labels"
    _write_group(folder, {"labels": [name]}, zarr_format)
    metadata = {"multiscales": [own], "image-label": {"source": {"image": "../../"}}}
    _write_group(folder / name, metadata, zarr_format)
    _write_levels(folder / name, [pixels, pixels[..., ::2, ::2]], zarr_format)


def _write_levels(
    folder: Path, levels: Sequence[npt.NDArray[Any]], zarr_format: int
) -> None:
    for path, level in enumerate(levels):
        chunks = (*(1,) * (level.ndim - 2), 16, 16)
        array = zarr.create_array(
            folder / str(path),
            shape=level.shape,
            dtype=level.dtype,
            chunks=chunks,
            zarr_format=zarr_format,  # type: ignore[arg-type]  # 2 or 3
        )
        array[...] = level


def _write_group(folder: Path, metadata: Mapping[str, Any], zarr_format: int) -> None:
    group = zarr.open_group(folder, mode="a", zarr_format=zarr_format)  # type: ignore[arg-type]  # 2 or 3
    version = {2: "0.4", 3: "0.5"}[zarr_format]
    versioned = dict(metadata)
    for key in ("plate", "well"):
        if key in metadata:
            versioned[key] = {"version": version, **metadata[key]}
    if zarr_format == 3:
        group.attrs.update({"ome": {"version": version, **versioned}})
        return
    if "multiscales" in metadata:
        versioned["multiscales"] = [{"version": version, **metadata["multiscales"][0]}]
    group.attrs.update(versioned)
