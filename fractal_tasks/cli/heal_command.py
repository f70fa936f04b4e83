"""The command `heal`: clear what interrupted runs left, and say what it was."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from fractal_tasks.cli.output import OutputOptions, Reporter
from fractal_tasks.storage.urls import parse_storage_options
from fractal_tasks.workflow.healing import Interrupted, heal_images

_DEFAULT = OutputOptions()
_MEANINGS = {
    "healed": "what an interrupted run left is cleared; the image is whole",
    "left": "an interrupted run left something; it would be cleared",
    "in use": "a task works on it; nothing was changed",
    "failed": "could not be cleared",
}


def heal(
    *urls: Annotated[
        str, Parameter(name="zarr-url", required=True, help="Plates, wells or images.")
    ],
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    storage_options: str | None = None,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Clear what interrupted runs left: hidden folders, with old or unfinished images.

    Every task does so for the images it works on; this does it for all of a plate,
    finished ones included, and does nothing else. Images that were replaced in part
    are finished by the command that was interrupted.

    Args:
        urls: What is looked at.
        dry_run: Only say what would be done. Changes nothing.
        storage_options: How to reach an object store, as a JSON object. There, nothing
            is left that the next run does not write over.
        options: How much is shown.
    """
    reporter = Reporter(options)
    with reporter.log():
        store = parse_storage_options(storage_options)
        found = heal_images(urls, store, dry_run=dry_run)
    text = "\n".join(map(_describe, found)) or "Found nothing that was interrupted."
    reporter.show(text, {"images": [asdict(one) for one in found]})
    return int(any(one.state == "failed" for one in found))


def _describe(found: Interrupted) -> str:
    reason = f": {found.reason}" if found.reason else ""
    return f"{found.zarr_url}: {_MEANINGS[found.state]}{reason}"
