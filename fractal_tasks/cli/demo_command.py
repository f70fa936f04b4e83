"""The command `demo`: a synthetic plate, the three tasks, and how well they did."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fractal_tasks.cli.output import Reporter, RunOptions
from fractal_tasks.demo import (
    DEMO_OPTIONS,
    ROI_TABLE,
    FieldResult,
    clear_demo,
    compare_with_truth,
    save_demo_overlays,
)
from fractal_tasks.discovery import discover_images
from fractal_tasks.report.plate_report import write_report
from fractal_tasks.runner import default_workers, select_arguments
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import create_plate
from fractal_tasks.workflow.catalogue import list_task_commands
from fractal_tasks.workflow.run import REGISTER_TASKS

_DEFAULT = RunOptions()
_ARGUMENTS = {
    "wavelength_id": "A01_C01",
    "registered_roi_table": f"{ROI_TABLE}_registered",
    "overwrite_input": False,
}


def demo(folder: str, *, options: RunOptions = _DEFAULT) -> int:
    """Register a synthetic plate and compare the result with the truth.

    Writes a plate, its report and before/after pictures into the folder. An earlier
    demo in it is replaced; anything else in it is left alone.

    Args:
        folder: Where plate and pictures go, e.g. `demo-output`.
        options: How much is shown, and how it runs.
    """
    output = Path(folder).absolute()
    clear_demo(output)
    reporter = Reporter(options)
    with reporter.steps() as steps, steps.step("Drawing wells") as step:
        plate = create_plate(output / "plate.zarr", DEMO_OPTIONS, progress=step.show)
    here = options.workers or default_workers()
    with reporter.session(options, here) as run_task:
        images = discover_images([str(plate)]).images
        commands = {command.function_name: command for command in list_task_commands()}
        for name in REGISTER_TASKS:
            task = commands[name].load()
            arguments = select_arguments(task.functions, _ARGUMENTS)
            if run_task(task, images, arguments).failures:
                return 1
    results = compare_with_truth(plate)
    pictures = save_demo_overlays(plate, output / "pictures")
    found = discover_images([str(plate)])
    page = write_report(
        [parse_image_url(url) for url in (*found.images, *found.registered)],
        output / "plate_registration.html",
    )
    reporter.show(
        f"{_describe(results, plate, pictures)}\nReport: {page}",
        {
            "plate": str(plate),
            "report": str(page),
            "pictures": [str(picture) for picture in pictures],
            "fields": [
                {**asdict(result), "error_px": result.error_px} for result in results
            ],
        },
    )
    return 0


def _describe(
    results: Sequence[FieldResult], plate: Path, pictures: Sequence[Path]
) -> str:
    console = Console(width=110)
    with console.capture() as capture:
        console.print(_make_table(results))
    measured = [result for result in results if result.status == "measured"]
    worst = max((result.error_px for result in measured), default=0.0)
    return "\n".join(
        [
            capture.get(),
            f"{len(measured)} of {len(results)} fields were measured, with errors up "
            f"to {worst:.3f} px. The others hold no cells, so nothing can be measured; "
            "they got the movement of their well (imputed).",
            "'off' is the distance of a field from where it should lie; after "
            "registration it includes rounding to whole pixels.",
            "Acquisition 2 is turned a little, has debris in a field of each well and "
            "has lost a patch of cells in another: the report shows what became of it.",
            f"Plate:    {plate} (truth in {plate}.truth.json)",
            "Pictures: " + "\n          ".join(map(str, pictures)),
            "Open the plate with napari (plugin napari-ome-zarr) or "
            "MoBIE; compare images 0, 1 and 2 with 0_registered, 1_registered and "
            "2_registered of a well.",
        ]
    )


def _make_table(results: Sequence[FieldResult]) -> Table:
    table = Table(title="Estimated against true shifts (y, x in pixels)")
    columns = ("well", "acq.", "ROI", "true", "estimated", "error", "conf.", "status")
    for name in (*columns, "off before", "off after"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        measured = result.status == "measured"
        table.add_row(
            result.well,
            str(result.acquisition),
            result.roi,
            "{:.2f} {:.2f}".format(*result.true_px),
            "{:.2f} {:.2f}".format(*result.estimated_px) if measured else "-",
            f"{result.error_px:.3f}" if measured else "-",
            f"{result.confidence:.2f}",
            result.status,
            f"{result.before_px:.1f}",
            f"{result.residual_px:.2f}",
        )
    return table
