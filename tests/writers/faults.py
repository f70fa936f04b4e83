"""What is wrong, or only unusual, with plates: put into what a writer has written."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tests.writers.scene import FIELD_PX, MASK_LEVEL, PIXEL_UM, Pixels

UNITS = {"micrometer": 1.0, "nanometer": 1e3, "millimeter": 1e-3, "missing": 1e3}
"""How many of a unit are a micrometre; metadata without a unit are meant in nm."""

STAGE_UM = (12.0, 8.0)
"""Where the stage was for the first field of the reference (y, x)."""

DRIFT_UM = (3.0, -2.0)
"""How far it was elsewhere for the acquisition, as its own metadata say."""

KNOWN_FILES = {"thumbnail.png": b"PNG", "notes/readme.txt": b"cells of Monday"}

Omero = dict[str, Any]


def edit_metadata(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the OME-Zarr metadata of a group, of any version."""
    group = zarr.open_group(folder, mode="r+", use_consolidated=False)
    attributes: dict[str, Any] = group.attrs.asdict()
    change(attributes.get("ome", attributes))
    group.attrs.put(attributes)


def read_metadata(folder: Path) -> dict[str, Any]:
    group = zarr.open_group(folder, mode="r", use_consolidated=False)
    attributes: dict[str, Any] = group.attrs.asdict()
    found: dict[str, Any] = attributes.get("ome", attributes)
    return found


def set_unit(folder: Path, unit: str) -> None:
    """Express all lengths in another unit, or leave away which it is."""
    factor = UNITS[unit]

    def change(ome: dict[str, Any]) -> None:
        multiscale = ome["multiscales"][0]
        axes = multiscale["axes"]
        lengths = [axis["type"] == "space" for axis in axes]
        for axis in (one for one in axes if one["type"] == "space"):
            axis["unit"] = unit
            if unit == "missing":
                del axis["unit"]
        for level in multiscale["datasets"]:
            for step in level["coordinateTransformations"]:
                step[step["type"]] = [
                    value * factor if is_length else value
                    for value, is_length in zip(
                        step[step["type"]], lengths, strict=True
                    )
                ]

    edit_metadata(folder, change)


def set_place(folder: Path, origin_um: tuple[float, float], *, centres: bool) -> None:
    """Say where the stage was, and of which point of each level that is told.

    Args:
        folder: The image, in micrometres.
        origin_um: Of level 0 (y, x).
        centres: Whether coarser levels are placed by the centres of their pixels.
    """

    def change(ome: dict[str, Any]) -> None:
        multiscale = ome["multiscales"][0]
        first = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
        for level in multiscale["datasets"]:
            scale = level["coordinateTransformations"][0]["scale"]
            grown = np.subtract(scale, first)[-2:] / 2 if centres else np.zeros(2)
            origin = [0.0] * (len(scale) - 2) + np.add(origin_um, grown).tolist()
            level["coordinateTransformations"] = [
                {"type": "scale", "scale": scale},
                {"type": "translation", "translation": origin},
            ]

    edit_metadata(folder, change)


def _bare(*entries: dict[str, str]) -> Omero:
    return {"channels": [dict(one) for one in entries]}


CHANNELS: dict[str, tuple[Omero | None, list[str]]] = {
    "none": (None, ["--wavelength-id", "0"]),
    "bare": (_bare({"label": "DAPI"}, {"label": "Cy5"}), ["--wavelength-id", "DAPI"]),
    "twice": (
        _bare(
            {"label": "DAPI", "wavelength_id": "A01_C01"},
            {"label": "DAPI", "wavelength_id": "A02_C02"},
        ),
        ["--wavelength-id", "A01_C01"],
    ),
    "moved": (
        None,
        ["--wavelength-id", "0", "--acquisition-wavelength-ids.1", "channel_1"],
    ),
}
"""What the metadata say of the channels, and how the stain is then named."""


def set_channels(folder: Path, channels: str) -> None:
    omero, _ = CHANNELS[channels]

    def change(ome: dict[str, Any]) -> None:
        ome.pop("omero", None)
        if omero is not None:
            ome["omero"] = omero

    edit_metadata(folder, change)


def add_rois(folder: Path, names: Iterable[str], size_px: tuple[int, int, int]) -> None:
    """Write a ROI table of fields beside each other, by ngio, as nobody else does."""
    from ngio import Roi
    from ngio.tables import RoiTable, write_table

    from fractal_tasks.storage.plate.roi_tables import own_columns_known

    planes, height, width = size_px
    rois = [
        Roi.from_values(
            name=name,
            slices={
                "z": (0.0, float(planes)),
                "y": (0.0, min(height, FIELD_PX) * PIXEL_UM),
                "x": (
                    index * FIELD_PX * PIXEL_UM,
                    min(width - index * FIELD_PX, FIELD_PX) * PIXEL_UM,
                ),
            },
        )
        for index, name in enumerate(names)
    ]
    image = zarr.open_group(folder, mode="r+", use_consolidated=False)
    tables = image.create_group("tables", attributes={"tables": ["FOV_ROI_table"]})
    tables.create_group("FOV_ROI_table")
    with own_columns_known():
        write_table(folder / "tables/FOV_ROI_table", RoiTable(rois=rois), backend="csv")


def add_label(folder: Path, view: Pixels, *, is_mask: bool) -> None:
    """Write what is bright as a label `nuclei`, with the levels of the image."""
    label = view > MASK_LEVEL
    values = label if is_mask else (label * 7).astype("uint16")
    image = zarr.open_group(folder, mode="r+", use_consolidated=False)
    multiscale = read_metadata(folder)["multiscales"][0]
    keep = [i for i, axis in enumerate(multiscale["axes"]) if axis["name"] != "c"]
    axes = [multiscale["axes"][index] for index in keep]
    stack = image[multiscale["datasets"][0]["path"]].shape[1:-2]  # type: ignore[union-attr]  # an array
    pixels = np.broadcast_to(values, (*stack, *values.shape))
    group = image.create_group("labels").create_group("nuclei")
    datasets = []
    for index, level in enumerate(multiscale["datasets"]):
        part = pixels[..., :: 2**index, :: 2**index]
        array = group.create_array(str(index), shape=part.shape, dtype=part.dtype)
        array[...] = part
        steps = [
            {
                "type": step["type"],
                step["type"]: [step[step["type"]][i] for i in keep],
            }
            for step in level["coordinateTransformations"]
        ]
        datasets.append({"path": str(index), "coordinateTransformations": steps})
    label_metadata = {
        "multiscales": [{"axes": axes, "datasets": datasets}],
        "image-label": {"source": {"image": "../../"}},
    }
    for folder_of, metadata in (
        ("", {"labels": ["nuclei"]}),
        ("/nuclei", label_metadata),
    ):
        opened = zarr.open_group(f"{folder}/labels{folder_of}", mode="r+")
        if image.metadata.zarr_format == 3:
            metadata = {"ome": {"version": "0.5", **metadata}}
        opened.attrs.update(metadata)


def add_files(folder: Path) -> None:
    for name, content in KNOWN_FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def forget_acquisitions(plate: Path, well: str) -> None:
    """Say of no image of which acquisition it is."""

    def change(ome: dict[str, Any]) -> None:
        for image in ome["well"]["images"]:
            del image["acquisition"]

    edit_metadata(plate / well, change)
    edit_metadata(plate, lambda ome: ome["plate"].pop("acquisitions"))


def damage(well: Path, how: str) -> None:
    """Take a well away, or the metadata of an image in it."""
    if how == "gone":
        shutil.rmtree(well)
        return
    for name in (".zattrs", "zarr.json"):
        (well / "1" / name).unlink(missing_ok=True)


def link_to_archive(path: Path, archive: Path) -> None:
    """Put a link in the place of a folder, which then lies elsewhere."""
    archive.mkdir(exist_ok=True)
    path.rename(archive / path.name)
    path.symlink_to(archive / path.name)
