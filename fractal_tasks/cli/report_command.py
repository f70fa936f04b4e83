"""The command `report`, and the page that `register` writes at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import NonNegativeInt

from fractal_tasks.cli.output import Reporter, RunOptions
from fractal_tasks.discovery import discover_images
from fractal_tasks.errors import FractalTasksError, InvalidInputError
from fractal_tasks.model.settings import DEFAULT_REGISTERED_TABLE, DEFAULT_ROI_TABLE
from fractal_tasks.qc.usability import USUAL_LIMITS, NotNegative, UsabilityLimits
from fractal_tasks.report.output import check_output
from fractal_tasks.report.plate_report import (
    ReportOptions,
    choose_paths,
    group_by_plate,
    write_report,
)
from fractal_tasks.report.results import RoiResult
from fractal_tasks.storage.plate.wells import is_in_plate
from fractal_tasks.storage.urls import (
    ImageUrl,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.workflow.run import Workflow

_DEFAULT = RunOptions()
_UNWRITTEN = "Warning: no report was written."


def report(
    *urls: Annotated[
        str, Parameter(name="zarr-url", required=True, help="A plate, wells or images.")
    ],
    output: Path | None = None,
    registered_roi_table: str = DEFAULT_REGISTERED_TABLE,
    input_roi_table: str = DEFAULT_ROI_TABLE,
    overlays: NonNegativeInt = 60,
    megabytes: NotNegative = 6.0,
    limits: Annotated[UsabilityLimits, Parameter(name="*")] = USUAL_LIMITS,
    storage_options: str | None = None,
    options: RunOptions = _DEFAULT,
) -> int:
    """Say on a page whether a plate is usable, with maps, overlays and a table.

    It is one file that needs no network. It can be written before, during and after a
    registration, and changes nothing in the plate.

    Args:
        urls: What is reported on.
        output: The file, e.g. `report.html`; left out, it lies beside the plate.
        registered_roi_table: Table with the verdicts.
        input_roi_table: Table with the estimates, where there are no verdicts yet.
        overlays: Number of ROIs of which pictures are shown.
        megabytes: How much of the page pictures may take.
        limits: From where on a plate is not usable, or a ROI worth a look.
        storage_options: How to reach an object store, as a JSON object.
        options: How much is shown, and how it runs.
    """
    reporter = Reporter(options)
    store = parse_storage_options(storage_options)
    made = ReportOptions(
        registered_roi_table, input_roi_table, limits, overlays, megabytes
    )
    with reporter.log():
        if output is not None:
            check_output(output)
        found = discover_images(urls, store)
        images = [parse_image_url(u, store) for u in (*found.images, *found.registered)]
        groups = group_by_plate(images)
        if output is not None and len(groups) > 1:
            raise InvalidInputError(
                f"--output {str(output)!r}: found images of {len(groups)} plates; "
                "needed is one. Leave it out, or report on each by itself."
            )
        chosen = choose_paths(groups) if output is None else [output] * len(groups)
    with reporter.reading(len(images), options) as how:
        paths = [
            write_report(
                group,
                path,
                made,
                how=how,
                left_out=_failures_of(group, found.failures),
            )
            for group, path in zip(groups, chosen, strict=True)
        ]
    reporter.show_errors(found.failures)
    reporter.show("\n".join(map(str, paths)), {"reports": [str(one) for one in paths]})
    return 0


def write_reports(
    reporter: Reporter,
    workflow: Workflow,
    rois: Sequence[RoiResult],
) -> list[Path]:
    """Write the report of each plate that was registered, and give the paths.

    One that cannot be written is no failure of the registration: it is warned of.
    """
    urls = (*workflow.left, *workflow.list_registered())
    images = [parse_image_url(url, workflow.storage_options) for url in urls]
    names = ("registered_roi_table", "input_roi_table")
    options = ReportOptions(*(workflow.settings[name] for name in names))
    told = [(group, _rois_of(group, rois)) for group in group_by_plate(images)]
    told = [(group, own) for group, own in told if own]
    try:
        chosen = choose_paths([group for group, _ in told])
    except FractalTasksError as error:
        reporter.say(f"{_UNWRITTEN} {error}")
        return []
    paths = []
    for (group, own), path in zip(told, chosen, strict=True):
        try:
            left_out = _failures_of(group, workflow.list_failures())
            paths.append(write_report(group, path, options, own, left_out=left_out))
        except FractalTasksError as error:
            reporter.say(f"{_UNWRITTEN} {error}")
    return paths


def _failures_of(
    group: Sequence[ImageUrl], failures: Mapping[str, object]
) -> dict[str, str]:
    """Give what is wrong with other images, or wells, of the plate of these images."""
    plate = group[0].plate_url if is_in_plate(group[0]) else ""
    told = {image.zarr_url for image in group}
    return {
        url: str(error)
        for url, error in failures.items()
        if url not in told and (not plate or url.startswith(plate))
    }


def _rois_of(group: Sequence[ImageUrl], rois: Sequence[RoiResult]) -> list[RoiResult]:
    urls = {image.zarr_url for image in group}
    return [one for one in rois if one.zarr_url in urls]
