"""What `register` asks before its first step: whether its last one could be done."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from fractal_tasks.errors import InvalidDataError, PublishError
from fractal_tasks.runner import TaskResult, UnitResult, as_entries
from fractal_tasks.steps.apply_order import ApplyOrder, check_content, check_place
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl, parse_image_url, parse_storage_options

_TITLE = "Checks"

_NEEDED = inspect.signature(ApplyOrder.of).parameters.keys() - {"url"}
"""The arguments of *apply* that say what it is to do."""


def order_of(url: ImageUrl, settings: Mapping[str, Any]) -> ApplyOrder:
    """Give what *apply* would do with an image.

    Args:
        url: The image.
        settings: Values of all arguments of the three tasks.

    Raises:
        InvalidInputError: An argument is wrong for any image.
    """
    return ApplyOrder.of(url, **{name: settings[name] for name in _NEEDED})


def check_images(
    zarr_urls: Sequence[str], settings: Mapping[str, Any]
) -> TaskResult | None:
    """Find out which images could not be registered in the end.

    Args:
        zarr_urls: The images, with the reference of every well.
        settings: Values of all arguments of the tasks.

    Returns:
        A unit for each of them that is not as needed; None if all are, or *apply* is
        not among the tasks.

    Raises:
        InvalidInputError: An argument does not fit an image.
    """
    if not settings.keys() >= _NEEDED:
        return None
    options = parse_storage_options(settings["storage_options"])
    urls = [parse_image_url(url, options) for url in zarr_urls]
    orders = [order_of(url, settings) for url in urls]
    missing_unit = settings["missing_length_unit"]
    failed = []
    for order in orders:
        try:
            check_place(order)
            # What an interrupted run has left is no fault of the image.
            with working_on(order.url):
                check_content(order, open_image(order.url, missing_unit))
        except (InvalidDataError, PublishError) as error:
            url = order.url.zarr_url
            failed.append(UnitResult(name=url, zarr_url=url, error=error))
    if not failed:
        return None
    return TaskResult(task=_TITLE, units=failed, images=as_entries(zarr_urls))
