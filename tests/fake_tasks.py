"""Small tasks for the runner and the command line, importable by worker processes."""

import json
import logging
import os
import signal
from pathlib import Path
from threading import Event
from typing import Any, Literal

from pydantic import BaseModel, Field

from fractal_tasks.cpus import given_cpus
from fractal_tasks.errors import InvalidDataError


class Sharp(BaseModel):
    type: Literal["sharp"] = "sharp"
    edge_px: int = Field(default=3, ge=1, description="Width of an edge.")
    limit: int | None = Field(default=None, description="Largest value.")


class Smooth(BaseModel):
    type: Literal["smooth"] = "smooth"
    sigma_um: float = Field(default=1.5, gt=0, description="Width of the filter.")
    edge_px: int = Field(default=4, ge=1, description="Width of an edge.")
    limit: float = Field(default=0.5, description="Share of the largest value.")


Filter = Sharp | Smooth
SMOOTH = Smooth()


def init_pairs(
    *, zarr_urls: list[str], zarr_dir: str, reference_acquisition: int = 0
) -> dict[str, Any]:
    """Pair every image with the first.

    Args:
        zarr_urls: Images.
        zarr_dir: Folder.
        reference_acquisition: Which acquisition is the reference.
    """
    init_args = {"folder": zarr_dir, "first": zarr_urls[reference_acquisition]}
    return {
        "parallelization_list": [
            {"zarr_url": url, "init_args": init_args} for url in zarr_urls[1:]
        ]
    }


def note_call(
    *, zarr_url: str, init_args: dict[str, Any], notes: str, factor: float = 2.0
) -> None:
    """Write down how it was called.

    Args:
        zarr_url: Image.
        init_args: From the init task.
        notes: Folder for the notes.
        factor: Some number.
    """
    call = {"zarr_url": zarr_url, "init_args": init_args, "factor": factor}
    note = Path(notes) / f"{os.getpid()}-{Path(zarr_url).name}.json"
    note.write_text(json.dumps(call))


def fail_for_images_ending_in_1(*, zarr_url: str) -> dict[str, Any]:
    """Fail for some images, and register the others beside the input."""
    if zarr_url.endswith("1"):
        raise InvalidDataError(f"{zarr_url}: found a scratch. Polish it.")
    update = {"zarr_url": f"{zarr_url}_new", "origin": zarr_url}
    return {"image_list_updates": [update], "image_list_removals": [zarr_url]}


def list_images(*, zarr_urls: list[str], zarr_dir: str, name: str = "list") -> None:
    """Write the image list into the folder of the dataset.

    Args:
        zarr_urls: Images.
        zarr_dir: Folder.
        name: Name of the new file, to which the number of the process is added.
    """
    file = Path(zarr_dir) / f"{name}-{os.getpid()}.json"
    file.write_text(json.dumps(zarr_urls))


def merge_images(*, zarr_urls: list[str], zarr_dir: str) -> dict[str, Any]:
    """Replace all images but the first by one made of them."""
    update = {
        "zarr_url": f"{zarr_urls[0]}_merged",
        "origin": zarr_urls[0],
        "types": {"merged": True},
        "attributes": {"acquisition": None, "plate": "p"},
    }
    return {"image_list_updates": [update], "image_list_removals": zarr_urls[1:]}


def report_with_an_error(
    *,
    zarr_urls: list[str],
    zarr_dir: str,
    input_roi_table: str = "FOV_ROI_table",
    registered_roi_table: str = "{input_roi_table}_registered",
) -> None:
    """Fail for all images together."""
    raise InvalidDataError("no ink. Buy some.")


def warn(
    *,
    zarr_url: str,
    input_roi_table: str = "FOV_ROI_table",
    registered_roi_table: str = "{input_roi_table}_registered",
) -> None:
    """Warn of something that is the same for all images, and of the image."""
    logger = logging.getLogger("fractal_tasks.tests")
    logger.info("%s: nothing to see", zarr_url)
    logger.warning("the light is on")
    logger.warning("%s: dust", zarr_url)


def init_with_a_warning(*, zarr_urls: list[str], zarr_dir: str) -> dict[str, Any]:
    """Warn before the units, of which there are none."""
    logging.getLogger("fractal_tasks.tests").warning("no units")
    return {"parallelization_list": []}


def remove_stranger(*, zarr_url: str) -> dict[str, Any]:
    """Remove an image that is not in the list."""
    return {"image_list_removals": [f"{zarr_url}_stranger"]}


def divide_by_zero(*, zarr_url: str) -> None:
    """Fail with a bug."""
    len(zarr_url) / 0


def end_the_process(*, zarr_url: str) -> None:
    """End like a process that the system killed for lack of memory."""
    os._exit(9)


def give_unknown_output(*, zarr_url: str) -> dict[str, Any]:
    """Return what a Fractal server does not accept."""
    return {"new_images": [zarr_url]}


def filter_image(
    *, zarr_url: str, strength: Filter = SMOOTH, clip: bool = True
) -> None:
    """Do nothing.

    Args:
        zarr_url: Image.
        strength: How to filter.
        clip: Whether to clip.
    """


def sharpen_image(*, zarr_url: str, clip: bool = True) -> None:
    """Do nothing, with an argument that another task has, too.

    Args:
        zarr_url: Image.
        clip: Whether to clip.
    """


def note_cpus(*, zarr_url: str, notes: str) -> None:
    """Write down how many CPUs it may use.

    Args:
        zarr_url: Image.
        notes: Folder for the notes.
    """
    name = zarr_url.rpartition("/")[2]
    (Path(notes) / name).write_text(str(given_cpus()))


def end_the_first_time(*, zarr_url: str, notes: str) -> None:
    """End like a killed process, unless it has done so before.

    Args:
        zarr_url: Image.
        notes: Folder for the notes.
    """
    note = Path(notes) / zarr_url.rpartition("/")[2]
    if zarr_url.endswith("1") and not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def wait_unless_first(*, zarr_url: str) -> None:
    """Never end, but for the first image."""
    if not zarr_url.endswith("0"):
        Event().wait()


def note_and_fail(*, zarr_url: str, notes: str) -> None:
    """Note that it ran, and fail.

    Args:
        zarr_url: Image.
        notes: Folder for the notes.
    """
    (Path(notes) / zarr_url.rpartition("/")[2]).touch()
    raise InvalidDataError("no luck. Try again.")
