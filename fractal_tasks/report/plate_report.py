"""Write the report of a plate: one page, from what its tables and images hold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pydantic import NonNegativeInt
from pydantic.dataclasses import dataclass

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.settings import DEFAULT_REGISTERED_TABLE, DEFAULT_ROI_TABLE
from fractal_tasks.qc.usability import (
    USUAL_LIMITS,
    NotNegative,
    UsabilityLimits,
    judge_plate,
)
from fractal_tasks.report.history import read_history
from fractal_tasks.report.images import SortedImages, sort_images
from fractal_tasks.report.named_tables import check_tables
from fractal_tasks.report.output import check_output, replace_file
from fractal_tasks.report.pairs import Tables
from fractal_tasks.report.reading import HowToRead, read_results
from fractal_tasks.report.results import RoiResult
from fractal_tasks.storage.plate.wells import is_in_plate
from fractal_tasks.storage.urls import ImageUrl

_SUFFIX = "_registration.html"

_MOST_NAMED = 10
"""Images that are named."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report is made from, and how."""

    registered_roi_table: str = DEFAULT_REGISTERED_TABLE
    input_roi_table: str = DEFAULT_ROI_TABLE
    limits: UsabilityLimits = USUAL_LIMITS
    overlays: NonNegativeInt = 60
    """Number of ROIs of which pictures are shown."""

    megabytes: NotNegative = 6.0
    """How much of the page pictures may take."""


def group_by_plate(images: Sequence[ImageUrl]) -> list[list[ImageUrl]]:
    """Put images of a plate together, and those that are in none."""
    groups: dict[str, list[ImageUrl]] = {}
    for image in images:
        plate = image.plate_url if is_in_plate(image) else ""
        groups.setdefault(plate, []).append(image)
    return list(groups.values())


def choose_path(images: Sequence[ImageUrl], zarr_dir: str | None = None) -> Path:
    """Give where the report of a plate, or of images in none, lies by default.

    Args:
        images: Its images.
        zarr_dir: Folder of the report; None: beside the plate.

    Raises:
        InvalidInputError: The plate is in an object store, and no folder is given.
    """
    first = images[0]
    if zarr_dir is None and first.is_remote:
        raise InvalidInputError(
            f"{first.zarr_url}: found an image in an object store; a report is a file "
            "of this machine. Name it: 'fractal-tasks report ... --output "
            "report.html'."
        )
    folder, _, name = _whole_url(first).rpartition("/")
    return Path(zarr_dir or folder or "/") / (name.removesuffix(".zarr") + _SUFFIX)


def choose_paths(
    groups: Sequence[Sequence[ImageUrl]], zarr_dir: str | None = None
) -> list[Path]:
    """Give where reports lie by default, each by a name of its own.

    Where two would be called alike, the whole name of the plate tells them apart, or
    those of its folders before it: ``c1_plate.zarr_registration.html``.

    Raises:
        InvalidInputError: As `choose_path`; or no name tells them apart.
    """
    usual = [choose_path(group, zarr_dir) for group in groups]
    names = [_whole_url(group[0]).split("/") for group in groups]
    paths = usual
    for length in range(1, max(map(len, names), default=1) + 1):
        if len(set(paths)) == len(paths):
            return paths
        paths = [
            path
            if usual.count(path) == 1
            else path.with_name("_".join(parts[-length:]) + _SUFFIX)
            for path, parts in zip(usual, names, strict=True)
        ]
    raise InvalidInputError(
        f"Found {len(groups)} plates whose reports would have one name. Report on each "
        "by itself."
    )


def _whole_url(image: ImageUrl) -> str:
    """Give the url of the plate of an image; of one in none, its own."""
    return image.plate_url if is_in_plate(image) else image.zarr_url


def write_report(
    images: Sequence[ImageUrl],
    path: Path,
    options: ReportOptions | None = None,
    rois: Sequence[RoiResult] | None = None,
    how: HowToRead | None = None,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write the report of a plate, or of images in none.

    An image that cannot be read does not stop it: the page names it.

    Args:
        images: All that were found, registered ones included.
        path: The file, which is replaced in one step.
        options: What it is made from.
        rois: What became of each ROI, if that was read already.
        how: Whether tables are read at once.
        left_out: What is wrong with images and wells of the plate that are not among
            these images, by their urls.

    Returns:
        The path.

    Raises:
        InvalidInputError: There are no images, or none with a table that is named; or
            the file cannot be written.
        PublishError: The file could not be written.
    """
    # Jinja2, bokeh and pillow are loaded by nothing else.
    from fractal_tasks.report.overlays import Budget, make_overlays
    from fractal_tasks.report.page import Content, render_page

    options = options or ReportOptions()
    if not images:
        raise InvalidInputError("Found no images to report on. Name a plate.")
    first = images[0]
    check_output(path)
    sorted_images = _sort_images(images)
    failures = dict(left_out)
    tables = Tables(options.registered_roi_table, options.input_roi_table)
    if rois is None:
        check_tables(images, tables)
        rois = read_results(
            sorted_images.told,
            tables.registered,
            lambda image, error: failures.update({image.zarr_url: str(error)}),
            tables.estimates,
            how,
        )
    verdict = judge_plate(rois, options.limits, len(failures))
    drawn = make_overlays(
        rois,
        verdict,
        sorted_images.registered,
        {image.zarr_url: image for image in sorted_images.told},
        tables,
        Budget(options.overlays, options.megabytes),
        failures,
    )
    content = Content(
        title=_whole_url(first).rpartition("/")[2],
        stage=_describe_stage(rois, sorted_images),
        rois=rois,
        verdict=verdict,
        history=read_history(sorted_images, (tables.estimates, tables.registered)),
        inputs=[image.zarr_url for image in sorted_images.told],
        failures=failures,
        drawn=drawn,
    )
    replace_file(path, render_page(content).encode())
    return path


def _sort_images(images: Sequence[ImageUrl]) -> SortedImages:
    """Let registered images tell of themselves where their input is not among them.

    A server gives a task that follows *apply* nothing but registered images.
    """
    found = sort_images(images)
    given = set(found.told)
    alone = [image for source, image in found.registered.items() if source not in given]
    beside = {
        source: one for source, one in found.registered.items() if source in given
    }
    return SortedImages([*found.told, *alone], beside, found.in_place.union(alone))


def _describe_stage(rois: Sequence[RoiResult], images: SortedImages) -> str:
    """Say what to run next; '' if the plate is registered."""
    if not rois:
        return (
            "The tables hold neither estimates nor verdicts. Run 'fractal-tasks "
            "register', or name the ROI tables; 'fractal-tasks inspect' lists what is "
            "there."
        )
    if all(one.status is None for one in rois):
        return (
            "These are shifts that nothing has judged. Run 'Find Registration "
            "Consensus' next, if the plate is not registered by another package."
        )
    judged = {
        one.zarr_url
        for one in rois
        if one.status not in (None, "reference", "unresolved")
    }
    due = [image for image in images.told if image.zarr_url in judged]
    moved = images.in_place.union(images.registered)
    left = [_place(image) for image in due if image not in moved]
    if not left:
        return ""
    if len(left) == len(due):
        return "No pixel is moved yet: run 'Apply Registration to Image' next."
    named = ", ".join(left[:_MOST_NAMED]) + (" ..." if left[_MOST_NAMED:] else "")
    return (
        f"The pixels of {len(left)} of {len(due)} images are not moved yet: {named}. "
        "Run 'Apply Registration to Image' on them."
    )


def _place(image: ImageUrl) -> str:
    """Name an image by its place in the plate."""
    if is_in_plate(image):
        return f"{image.row}/{image.column}/{image.image_path}"
    return image.zarr_url
