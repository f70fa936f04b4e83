"""Plates as other software writes them: by zarr alone, with what NGFF 0.4 demands."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from scipy.ndimage import gaussian_filter

from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.urls import parse_image_url

PIXEL_UM = 0.5
MARGIN_PX = 16

Pixels = npt.NDArray[Any]


def make_scene(seed: int, size_px: int = 128) -> Pixels:
    """Make cells on a plane that is larger than a view of it by a margin."""
    rng = np.random.default_rng(seed)
    side = size_px + 2 * MARGIN_PX
    scene = np.zeros((side, side))
    for sigma in (2.0, 3.0):
        points = np.zeros((side, side))
        places = rng.integers(0, side, (2, side * side // 500))
        points[tuple(places)] = rng.uniform(0.5, 1.5, places.shape[1])
        scene += gaussian_filter(points, sigma) * 2 * np.pi * sigma**2
    return scene


def see(scene: Pixels, shift_px: tuple[int, int] = (0, 0), noise: int = 0) -> Pixels:
    """Give what a camera sees of a scene that moved by `shift_px` (y, x)."""
    start = MARGIN_PX - np.array(shift_px)
    stop = start + np.array(scene.shape) - 2 * MARGIN_PX
    part = scene[start[0] : stop[0], start[1] : stop[1]]
    rng = np.random.default_rng(100 + noise)
    return np.asarray(100 + 400 * part + rng.normal(0, 5, part.shape)).astype("uint16")


def write_image(
    folder: Path,
    pixels: Pixels,
    *,
    levels: Mapping[str, int] | None = None,
    omero: Any = None,
    origin_um: tuple[float, float] | None = None,
) -> Path:
    """Write an image with axes c, y, x, or y, x.

    Args:
        folder: Where.
        pixels: Level 0.
        levels: Names of the levels, and by how much each is coarser than level 0.
        omero: What the metadata say of channels; None: nothing.
        origin_um: Where the stage was (y, x); None: nothing says so.
    """
    axes = "cyx"[-pixels.ndim :]
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    datasets = []
    for name, factor in (levels or {"0": 1, "1": 2, "2": 4}).items():
        part = pixels[..., ::factor, ::factor]
        array = group.create_array(name, shape=part.shape, dtype=part.dtype)
        array[...] = part
        scale = [1.0] * (pixels.ndim - 2) + [PIXEL_UM * factor] * 2
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if origin_um is not None:
            origin = [0.0] * (pixels.ndim - 2) + list(origin_um)
            transforms.append({"type": "translation", "translation": origin})
        datasets.append({"path": name, "coordinateTransformations": transforms})
    kinds = {"c": {"type": "channel"}}
    space = {"type": "space", "unit": "micrometer"}
    described = [{"name": axis, **kinds.get(axis, space)} for axis in axes]
    multiscale: Any = {"version": "0.4", "axes": described, "datasets": datasets}
    group.attrs["multiscales"] = [multiscale]
    if omero is not None:
        group.attrs["omero"] = omero
    return folder


def write_plate(plate: Path, wells: Mapping[str, Mapping[str, int | None]]) -> Path:
    """Write the metadata of a plate: the acquisition of each image, if it has one."""
    names = [well.split("/") for well in wells]
    rows, columns = (sorted({name[axis] for name in names}) for axis in (0, 1))
    group = zarr.open_group(plate, mode="a", zarr_format=2)
    group.attrs["plate"] = {
        "version": "0.4",
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {
                "path": f"{row}/{column}",
                "rowIndex": rows.index(row),
                "columnIndex": columns.index(column),
            }
            for row, column in names
        ],
    }
    for well, images in wells.items():
        entries = [
            {"path": path} | ({} if number is None else {"acquisition": number})
            for path, number in images.items()
        ]
        attributes = zarr.open_group(plate / well, mode="a", zarr_format=2).attrs
        attributes["well"] = {"version": "0.4", "images": entries}
    return plate


def opened(folder: Path) -> OpenImage:
    return open_image(parse_image_url(str(folder)))


def channels(*entries: Mapping[str, object]) -> dict[str, Sequence[object]]:
    """Give metadata of channels that say nothing but this."""
    return {"channels": list(entries)}
