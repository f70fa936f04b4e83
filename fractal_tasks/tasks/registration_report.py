"""Write a page about each plate that says whether its registration is usable."""

import logging
from concurrent.futures import ThreadPoolExecutor

from pydantic import NonNegativeInt, validate_call

from fractal_tasks.interrupts import stopping_on_signals
from fractal_tasks.model.task_arguments import TASK_CONFIG, StorageOptionsText
from fractal_tasks.qc.usability import (
    USUAL_LIMITS,
    NotNegative,
    Part,
    UsabilityLimits,
)
from fractal_tasks.report.plate_report import (
    ReportOptions,
    choose_paths,
    group_by_plate,
    write_report,
)
from fractal_tasks.report.reading import HowToRead
from fractal_tasks.storage.urls import parse_image_url, parse_storage_options

logger = logging.getLogger(__name__)

_AT_ONCE = 16
"""Tables in an object store that are waited for at the same time."""


@validate_call(config=TASK_CONFIG)
def registration_report(
    *,
    zarr_urls: list[str],
    zarr_dir: str,
    registered_roi_table: str = "FOV_ROI_table_registered",
    input_roi_table: str = "FOV_ROI_table",
    max_unresolved: Part = USUAL_LIMITS.max_unresolved,
    max_error_px: NotNegative = USUAL_LIMITS.max_error_px,
    max_left_px: NotNegative = USUAL_LIMITS.max_left_px,
    min_kept: Part = USUAL_LIMITS.min_kept,
    overlays: NonNegativeInt = 60,
    megabytes: NotNegative = 6.0,
    storage_options: StorageOptionsText = None,
) -> None:
    """Write a page about each plate: is it usable, and what is to be looked at?

    One file of HTML per plate, `<plate>_registration.html` in the folder of the
    dataset, that needs no network. It can be run after each of the three tasks, and
    changes no image.

    Args:
        zarr_urls: Urls of the images to report on (set by the Fractal server).
        zarr_dir: Folder of the dataset, where the page goes (set by the Fractal
            server).
        registered_roi_table: Table with the verdicts, which "Find Registration
            Consensus" wrote.
        input_roi_table: Table with the estimates, which are shown where there are no
            verdicts yet.
        max_unresolved: Part (0 to 1) of an acquisition's ROIs that may be unresolved,
            e.g. `0.2`. With more the plate is called not usable.
        max_error_px: Standard error, in pixels, from which a ROI is worth a look.
            Lower it, e.g. to `1`, if what you measure is small.
        max_left_px: How far, in pixels, places of a ROI may be off since it was turned
            or warped, until it is worth a look.
        min_kept: Part (0 to 1) of a ROI that has to be kept, or it is worth a look.
        overlays: Number of ROIs of which pictures are shown, worst first.
        megabytes: How much of the page pictures may take.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. No secrets here: a server stores and shows
            arguments.

    Raises:
        InvalidInputError: The folder is inside a plate, or in an object store; or no
            image has a table that is named.
        PublishError: The page could not be written.
    """
    logger.info("registration_report: %d images, zarr_dir=%r", len(zarr_urls), zarr_dir)
    store = parse_storage_options(storage_options)
    images = [parse_image_url(url, store) for url in zarr_urls]
    limits = UsabilityLimits(max_unresolved, max_error_px, max_left_px, min_kept)
    options = ReportOptions(
        registered_roi_table, input_roi_table, limits, overlays, megabytes
    )
    groups = group_by_plate(images)
    paths = choose_paths(groups, zarr_dir or None)
    with ThreadPoolExecutor(_AT_ONCE) as executor:
        for group, path in zip(groups, paths, strict=True):
            how = HowToRead(executor if group[0].is_remote else None)
            logger.info("Wrote %s", write_report(group, path, options, how=how))


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    with stopping_on_signals():
        run_fractal_task(task_function=registration_report)
