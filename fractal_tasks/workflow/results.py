"""What became of the images of a run, and of those that earlier runs have finished."""

import re
from collections.abc import Sequence

from fractal_tasks.discovery import is_result
from fractal_tasks.errors import FractalTasksError
from fractal_tasks.records.judgement import read_applied_judgement
from fractal_tasks.report.results import RoiResult, read_results
from fractal_tasks.storage.urls import ImageUrl, StorageOptions, parse_image_url


def read_run_results(
    zarr_urls: Sequence[str], registered_roi_table: str, storage_options: StorageOptions
) -> tuple[list[RoiResult], dict[str, FractalTasksError]]:
    """Read what became of every ROI, whichever run has registered it.

    Args:
        zarr_urls: The images. Of a registered one that lies beside its input, the input
            says it.
        registered_roi_table: Name of the table.
        storage_options: How to reach the object store they may be in.

    Returns:
        The results in the order of the urls' text, with numbers by their value, and by
        url the images that cannot be read.
    """
    images = [parse_image_url(url, storage_options) for url in dict.fromkeys(zarr_urls)]
    failures: dict[str, FractalTasksError] = {}
    results = read_results(
        sorted((one for one in images if not _is_beside_input(one)), key=_natural_key),
        registered_roi_table,
        failed=lambda image, error: failures.update({image.zarr_url: error}),
    )
    return results, failures


def _is_beside_input(image: ImageUrl) -> bool:
    return is_result(image) and read_applied_judgement(image) is None


def _natural_key(image: ImageUrl) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", image.zarr_url)
    ]
