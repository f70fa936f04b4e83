"""Plates by four writers: each in its own way, with what it writes unasked.

What a plate lacks or has wrongly is put in afterwards, by `faults`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import zarr

from tests.writers.scene import PIXEL_UM, Pixels

Version = Literal["0.4", "0.5"]
Wells = Mapping[str, Sequence[tuple[str, int]]]
"""By well, path and acquisition of each image."""

ZARR_FORMATS: dict[str, Literal[2, 3]] = {"0.4": 2, "0.5": 3}
LEVELS = 3


@dataclass(frozen=True)
class Image:
    """An image as a writer gets it."""

    pixels: Pixels
    axes: str
    """`czyx` or `cyx`."""

    pixel_um: float = PIXEL_UM

    @property
    def spacing_um(self) -> dict[str, float]:
        """Pixel size by axis of space."""
        known = {"z": 1.0, "y": self.pixel_um, "x": self.pixel_um}
        return {axis: known[axis] for axis in self.axes if axis in known}


def write_by_zarr(
    plate: Path, wells: Wells, images: Mapping[str, Image], version: Version
) -> None:
    """Write what the specification demands, and nothing else."""
    zarr_format = ZARR_FORMATS[version]

    def group(path: Path, **metadata: Any) -> None:
        attributes = {key: {"version": version, **metadata[key]} for key in metadata}
        if zarr_format == 3:
            attributes = {"ome": {"version": version, **metadata}} if metadata else {}
        opened = zarr.open_group(path, mode="a", zarr_format=zarr_format)
        opened.attrs.update(attributes)

    group(plate, plate=_plate_metadata(wells))
    for well, members in wells.items():
        group(plate / well.split("/")[0])
        listed = [{"path": path, "acquisition": number} for path, number in members]
        group(plate / well, well={"images": listed})
    for path, image in images.items():
        opened = zarr.open_group(plate / path, mode="w", zarr_format=zarr_format)
        datasets = []
        for level in range(LEVELS):
            part = image.pixels[..., :: 2**level, :: 2**level]
            array = opened.create_array(str(level), shape=part.shape, dtype=part.dtype)
            array[...] = part
            size = image.spacing_um | dict.fromkeys(
                ("y", "x"), image.pixel_um * 2**level
            )
            scale = [size.get(axis, 1.0) for axis in image.axes]
            steps = [{"type": "scale", "scale": scale}]
            datasets.append({"path": str(level), "coordinateTransformations": steps})
        space = {"type": "space", "unit": "micrometer"}
        kinds = {"c": {"type": "channel"}}
        axes = [{"name": axis, **kinds.get(axis, space)} for axis in image.axes]
        multiscale: Any = {"axes": axes, "datasets": datasets}
        if zarr_format == 3:
            opened.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
        else:
            opened.attrs["multiscales"] = [{"version": version, **multiscale}]


def _plate_metadata(wells: Wells) -> dict[str, Any]:
    rows, columns = (
        sorted({well.split("/")[axis] for well in wells}) for axis in (0, 1)
    )
    numbers = sorted({number for members in wells.values() for _, number in members})
    return {
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "acquisitions": [{"id": number} for number in numbers],
        "wells": [
            {
                "path": well,
                "rowIndex": rows.index(well.split("/")[0]),
                "columnIndex": columns.index(well.split("/")[1]),
            }
            for well in wells
        ],
    }


def write_by_ngio(
    plate: Path, wells: Wells, images: Mapping[str, Image], version: Version
) -> None:
    """Write as converters made for Fractal do; ngio writes 0.4 and 0.5."""
    from ngio import ImageInWellPath, create_empty_plate, create_ome_zarr_from_array

    paths = [
        ImageInWellPath(
            row=well.split("/")[0],
            column=well.split("/")[1],
            path=path,
            acquisition_id=number,
        )
        for well, members in wells.items()
        for path, number in members
    ]
    create_empty_plate(str(plate), "plate", paths, ngff_version=version)
    for path, image in images.items():
        create_ome_zarr_from_array(
            str(plate / path),
            image.pixels,
            pixelsize=image.pixel_um,
            axes_names=list(image.axes),
            levels=LEVELS,
            ngff_version=version,
            overwrite=True,
        )


def write_by_ngff_zarr(
    plate: Path, wells: Wells, images: Mapping[str, Image], version: Version
) -> None:
    """Write as ngff-zarr does: consolidated, and levels placed by their centres."""
    import ngff_zarr

    metadata = _plate_metadata(wells)
    described = ngff_zarr.Plate(
        columns=[ngff_zarr.PlateColumn(**one) for one in metadata["columns"]],
        rows=[ngff_zarr.PlateRow(**one) for one in metadata["rows"]],
        wells=[ngff_zarr.PlateWell(**one) for one in metadata["wells"]],
        acquisitions=[
            ngff_zarr.PlateAcquisition(**one) for one in metadata["acquisitions"]
        ],
        version=version,
    )
    ngff_zarr.to_hcs_zarr(ngff_zarr.HCSPlate(str(plate), described), str(plate))
    for well, members in wells.items():
        row, column = well.split("/")
        for path, number in members:
            image = images[f"{well}/{path}"]
            pixels = ngff_zarr.to_ngff_image(
                image.pixels,
                dims=tuple(image.axes),
                scale=image.spacing_um,
                axes_units=dict.fromkeys(image.spacing_um, "micrometer"),
            )
            factors = [
                {axis: 1 if axis == "z" else 2**level for axis in image.spacing_um}
                for level in range(1, LEVELS)
            ]
            ngff_zarr.write_hcs_well_image(
                str(plate),
                ngff_zarr.to_multiscales(
                    pixels,
                    scale_factors=factors,
                    # The default compiles a program first.
                    method=ngff_zarr.Methods.DASK_BIN_SHRINK,
                ),
                described,
                row,
                column,
                field_index=int(path),
                acquisition_id=number,
                version=version,
            )


def write_by_ome_zarr_py(
    plate: Path, wells: Wells, images: Mapping[str, Image], version: Version
) -> None:
    """Write as ome-zarr-py does."""
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_image, write_plate_metadata, write_well_metadata

    fmt = {"0.4": FormatV04, "0.5": FormatV05}[version]()
    metadata = _plate_metadata(wells)

    def group(path: Path) -> zarr.Group:
        return zarr.open_group(path, mode="a", zarr_format=ZARR_FORMATS[version])

    write_plate_metadata(
        group(plate),
        rows=[row["name"] for row in metadata["rows"]],
        columns=[column["name"] for column in metadata["columns"]],
        wells=list(wells),
        acquisitions=metadata["acquisitions"],
        fmt=fmt,
    )
    for well, members in wells.items():
        group(plate / well.split("/")[0])
        listed = [{"path": path, "acquisition": number} for path, number in members]
        write_well_metadata(group(plate / well), listed, fmt=fmt)
    for path, image in images.items():
        write_image(
            image.pixels,
            group(plate / path),
            scale_factors=[2**level for level in range(1, LEVELS)],
            axes=list(image.axes),
            fmt=fmt,
            scale=image.spacing_um,
            axes_units=dict.fromkeys(image.spacing_um, "micrometer"),
        )


WRITERS: dict[str, Callable[[Path, Wells, Mapping[str, Image], Version], None]] = {
    "zarr": write_by_zarr,
    "ngio": write_by_ngio,
    "ngff-zarr": write_by_ngff_zarr,
    "ome-zarr-py": write_by_ome_zarr_py,
}
