"""The command `show`: the overlay of a well."""

from pathlib import Path

from fractal_tasks.cli.output import OutputOptions, Reporter
from fractal_tasks.model.settings import DEFAULT_REGISTERED_TABLE, DEFAULT_ROI_TABLE
from fractal_tasks.report.pairs import Tables
from fractal_tasks.storage.urls import parse_storage_options
from fractal_tasks.workflow.overlay import (
    check_picture,
    choose_images,
    name_picture,
    save_picture,
    show_images,
)

_DEFAULT = OutputOptions()


def show(
    zarr_url: str,
    *,
    roi: str | None = None,
    acquisition: int | None = None,
    output: Path | None = None,
    registered_roi_table: str = DEFAULT_REGISTERED_TABLE,
    input_roi_table: str = DEFAULT_ROI_TABLE,
    storage_options: str | None = None,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Draw reference and acquisitions over each other, before and after registration.

    The reference is green, an acquisition magenta, and where both agree they are white.
    Beside the whole is the part with most edges at full resolution. It works at any
    stage, and changes nothing in the plate.

    Args:
        zarr_url: A well, e.g. `plate.zarr/B/03`, or an image.
        roi: The ROI that is shown, e.g. `FOV_1`; left out, all of the well.
        acquisition: The acquisition that is shown; left out, all but the reference.
        output: The picture, a .png, .jpg or .tif, which is replaced; left out, it gets
            its name from what it shows, and goes into the folder that you are in.
        registered_roi_table: Table with the verdicts.
        input_roi_table: Table with the estimates, where there are no verdicts yet.
        storage_options: How to reach an object store, as a JSON object.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        if output is not None:
            check_picture(output)
        store = parse_storage_options(storage_options)
        chosen = choose_images(zarr_url, acquisition, store)
        path = output or Path(name_picture(chosen, roi, acquisition))
        check_picture(path)
        tables = Tables(registered_roi_table, input_roi_table)
        save_picture(show_images(chosen, tables, roi), path)
    reporter.show(str(path), {"picture": str(path)})
    return 0
