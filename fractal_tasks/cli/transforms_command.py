"""The commands `transforms`: show transforms, and give them to other software."""

from pathlib import Path

import numpy as np

from fractal_tasks.cli.exchange import RecordOptions, write_new
from fractal_tasks.cli.output import OutputOptions, Reporter
from fractal_tasks.cli.transform_files import (
    Format,
    name_file,
    read_all,
    read_file,
    to_files,
    write_one,
)
from fractal_tasks.discovery import absolute_url, discover_images, find_work
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import DEFAULT_ROI_TABLE
from fractal_tasks.steps.import_transforms import check_not_registered
from fractal_tasks.steps.import_transforms import import_transforms as write_imported
from fractal_tasks.steps.point_map import read_placements
from fractal_tasks.storage.plate.displacements import displacements_of
from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import (
    ImageUrl,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.transforms import Transform, Warp, compose, to_affine

_DEFAULT = OutputOptions()
_RECORD = RecordOptions()


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
        transform = one.to_placement(displacements_of(url)).transform
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

    A scene has one for the whole image.

    Args:
        image: The acquisition, before or after its registration.
        format: `rfc5` for OME-Zarr 0.6 transformation stores (ngff-zarr), `scene` for
            OME-Zarr 0.6 scenes (ome-zarr), `itk` for transform files (ITK, SimpleITK,
            ANTs, 3D Slicer), `itk_h5` for those in HDF5, `nifti` for images of
            displacements (ANTs), `matrix` for texts of a 4 x 4 matrix (napari, numpy).
        output: Folder to write into; what is there already is left alone.
        record: Where its transforms are.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        url = record.locate(image)
        placements = read_placements(url, record.registered_roi_table)
        ndim = 2 if open_image(url).grid.is_flat else 3
        transforms = {
            one.roi: one.to_placement(displacements_of(url)).transform
            for one in placements
        }
        named = {one.roi: one for one in placements}
        if format == "scene":
            _check_alike(url, transforms)
            named = {url.zarr_url.rpartition("/")[2]: placements[0]}
        paths = [output / name_file(name, format) for name in named]
        files: dict[Path, str | bytes] = {}
        for path, one in zip(paths, named.values(), strict=True):
            files |= to_files(
                transforms[one.roi],
                one.pixel_sizes,
                format,
                ndim,
                path,
                {"image": url.zarr_url, "roi": one.roi},
            )
        write_new(files)
    written = list(map(str, paths))
    reporter.show("\n".join(f"Wrote {path}" for path in written), {"files": written})
    return 0


def _check_alike(url: ImageUrl, transforms: dict[str, Transform]) -> None:
    """Refuse ROIs that moved in several ways.

    Raises:
        InvalidInputError: They did.
    """
    (first, expected), *_ = transforms.items()
    others = [roi for roi, found in transforms.items() if found != expected]
    if others:
        raise InvalidInputError(
            f"{url.zarr_url}: found other transforms of the ROIs {others} than of "
            f"{first!r}; a scene has one for the whole image. Choose the format "
            "'rfc5', which has one for each ROI."
        )


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
            each, as `export` names them. Formats: RFC-5, ITK, NIfTI, elastix, and
            matrix.
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
        found = read_all(source, url, onto[0])
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
        parts = [read_file(path) for path in sources]
        whole = compose(*(transform for transform, _ in parts))
        write_one(whole, max(ndim for _, ndim in parts), format, output)
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
        transform, ndim = read_file(source)
        back = transform if isinstance(transform, Warp) else to_affine(transform)
        write_one(back.inverse(), ndim, format, output)
    reporter.show(f"Wrote {output}", {"files": [str(output)]})
    return 0
