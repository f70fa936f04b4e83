"""The commands `transforms`: show transforms, and give them to other software."""

import json
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, unquote

import numpy as np

from fractal_tasks.cli.exchange import RecordOptions, write_new
from fractal_tasks.cli.output import OutputOptions, Reporter
from fractal_tasks.discovery import absolute_url, discover_images, find_work
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import DEFAULT_ROI_TABLE
from fractal_tasks.steps.import_transforms import (
    ImportedTransform,
    check_not_registered,
)
from fractal_tasks.steps.import_transforms import import_transforms as write_imported
from fractal_tasks.steps.point_map import read_placements
from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import (
    ImageUrl,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.transforms import PixelSizes, Transform, compose, to_affine
from fractal_tasks.transforms.exchange import to_itk, to_matrix, to_store
from fractal_tasks.transforms.foreign import CENTRED, read_transform

_DEFAULT = OutputOptions()
_WELL_PARTS = 3
"""Row, column and image: what the url of an image in a plate ends with."""

_STORE, _STORE_NAME = "zarr.json", ".ome.zarr"
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
        ndim = 2 if open_image(url).grid.is_flat else 3
        files = {
            output / _name(one.roi, format): _to_text(
                one.placement.transform,
                one.pixel_sizes,
                format,
                ndim,
                {"image": url.zarr_url, "roi": one.roi},
            )
            for one in placements
        }
        write_new(files)
    written = list(map(str, files))
    reporter.show("\n".join(f"Wrote {path}" for path in written), {"files": written})
    return 0


def import_transforms(
    image: str,
    source: Path,
    *,
    input_roi_table: str = DEFAULT_ROI_TABLE,
    reference_acquisition: int = 0,
    reference: str | None = None,
    storage_options: str | None = None,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Take transforms of other software for an acquisition, instead of estimates.

    Args:
        image: The acquisition; *consensus* and *apply* then use them as they are.
        source: A file, whose transform is that of all ROIs, or a folder with a file for
            each, as `export` names them. Formats: RFC-5, ITK, elastix, and matrix.
        input_roi_table: Table with the ROIs.
        reference_acquisition: The one that they lead to.
        reference: Plate or image that they lead to, if it is another one.
        storage_options: How to reach an object store, as a JSON object.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        store = parse_storage_options(storage_options)
        url = parse_image_url(absolute_url(image), store)
        check_not_registered(url)
        named = discover_images([url.zarr_url], store)
        images = find_work(named, reference_acquisition, reference, store).images
        groups = group_images(images, reference_acquisition, store, reference).groups
        onto = [group.reference for group in groups if url in group.others]
        if not onto:
            raise InvalidInputError(
                f"{url.zarr_url}: found no reference for it, or it is that itself. "
                "Name an acquisition that is registered to another one, or 'reference'."
            )
        found = _read_all(source, url)
        records = write_imported(url, onto[0], found, input_roi_table)
    rows = [record.key.roi for record in records]
    reporter.show(
        "\n".join(f"{record.key.roi}: {record.reason}" for record in records),
        {"image": url.zarr_url, "rois": rows},
    )
    return 0


def compose_transforms(
    sources: list[Path],
    *,
    format: Format,  # noqa: A002 - the word that users know
    output: Path,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Write one transform that does what several do, one after the other.

    Args:
        sources: Files of transforms, the one that is applied first to points of the
            acquisition in front.
        format: As for `export`.
        output: File to write, of OME-Zarr its folder; one that is there is left alone.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        parts = [_read(path) for path in sources]
        whole = to_affine(compose(*(transform for transform, _ in parts)))
        _write_one(whole, max(ndim for _, ndim in parts), format, output)
    reporter.show(f"Wrote {output}", {"files": [str(output)]})
    return 0


def invert_transforms(
    source: Path,
    *,
    format: Format,  # noqa: A002 - the word that users know
    output: Path,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Write the transform that leads back, as if the two images changed roles.

    Args:
        source: File of a transform.
        format: As for `export`.
        output: File to write, of OME-Zarr its folder; one that is there is left alone.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        transform, ndim = _read(source)
        _write_one(to_affine(transform).inverse(), ndim, format, output)
    reporter.show(f"Wrote {output}", {"files": [str(output)]})
    return 0


def _read_all(
    source: Path, url: ImageUrl
) -> ImportedTransform | dict[str, ImportedTransform]:
    """Read a file, or those of a folder by the names of their ROIs."""
    if source.is_file() or (source / _STORE).is_file():
        return ImportedTransform(_read(source, url)[0], source.name)
    there = source.iterdir() if source.is_dir() else ()
    # Hidden files are those of file managers.
    paths = sorted(path for path in there if not path.name.startswith("."))
    if not paths:
        raise InvalidInputError(
            f"{source}: found no file, and no folder with files; needed is a "
            "transform, or a folder with one for each ROI."
        )
    names = list(map(_roi_of, paths))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(
            f"{source}: found several files for the ROIs {twice}; needed is one for "
            "each. Remove the others."
        )
    return {
        name: ImportedTransform(_read(path, url)[0], path.name)
        for name, path in zip(names, paths, strict=True)
    }


def _read(path: Path, url: ImageUrl | None = None) -> tuple[Transform, int]:
    """Read the transform of a file; if `url` is given, it must be of that image."""
    file = path / _STORE if path.is_dir() else path
    try:
        text = file.read_text()
        transform = read_transform(text, str(path))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"{path}: cannot be read as a transform ({error}). Needed is a file in one "
            "of the formats RFC-5, ITK, elastix, or matrix."
        ) from error
    if url is not None and file.name == _STORE:
        _check_image(json.loads(text), path, url)
    return transform


def _check_image(document: dict[str, Any], path: Path, url: ImageUrl) -> None:
    """Refuse a transform that says that it is of another image."""
    given = document.get("attributes", {}).get("fractal_tasks", {}).get("image")
    if given is None:
        return
    # Plates are moved and renamed; wells and images are not.
    urls = url.zarr_url, str(given)
    ours, theirs = (one.rstrip("/").split("/")[-_WELL_PARTS:] for one in urls)
    if ours != theirs:
        raise InvalidInputError(
            f"{path}: found the transform of {given}; needed is one of {url.zarr_url}. "
            "If it holds there, too, remove 'image' from it."
        )


def _write_one(transform: Transform, ndim: int, kind: Format, output: Path) -> None:
    """Write a transform between centres of first voxels."""
    path = output / _STORE if kind == "rfc5" else output
    write_new({path: _to_text(transform, CENTRED, kind, ndim, {})})


def _name(roi: str, kind: Format) -> Path:
    """Give where the file of a ROI lies; its name may hold anything."""
    safe = quote(roi, safe=" ")
    if kind == "rfc5":
        return Path(f"{safe}{_STORE_NAME}") / _STORE
    return Path(f"{safe}.tfm" if kind == "itk" else f"{safe}.txt")


def _roi_of(path: Path) -> str:
    """Give the ROI that a file is named after."""
    is_store = path.name.endswith(_STORE_NAME)
    return unquote(path.name.removesuffix(_STORE_NAME) if is_store else path.stem)


def _to_text(
    transform: Transform,
    pixels: PixelSizes,
    kind: Format,
    ndim: int,
    provenance: dict[str, Any],
) -> str:
    if kind == "itk":
        return to_itk(transform, pixels, ndim=ndim)
    if kind == "matrix":
        return to_matrix(transform, pixels)
    return to_store(transform, pixels, provenance)
