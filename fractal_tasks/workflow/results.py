"""What became of the images of a run, and of those that earlier runs have finished."""

from collections.abc import Sequence

from fractal_tasks.errors import FractalTasksError
from fractal_tasks.report.images import sort_images
from fractal_tasks.report.reading import HowToRead, read_results
from fractal_tasks.report.results import RoiResult
from fractal_tasks.storage.urls import StorageOptions, parse_image_url


def read_run_results(
    zarr_urls: Sequence[str],
    registered_roi_table: str,
    storage_options: StorageOptions,
    how: HowToRead | None = None,
) -> tuple[list[RoiResult], dict[str, FractalTasksError]]:
    """Read what became of every ROI, whichever run has registered it.

    Args:
        zarr_urls: The images. Of a registered one that lies beside its input, the input
            says it.
        registered_roi_table: Name of the table.
        storage_options: How to reach the object store they may be in.
        how: Whether tables are read at once.

    Returns:
        The results in the order of the urls' text, with numbers by their value, and by
        url the images that cannot be read.
    """
    images = [parse_image_url(url, storage_options) for url in zarr_urls]
    failures: dict[str, FractalTasksError] = {}
    results = read_results(
        sort_images(images).told,
        registered_roi_table,
        failed=lambda image, error: failures.update({image.zarr_url: error}),
        how=how,
    )
    return results, failures
