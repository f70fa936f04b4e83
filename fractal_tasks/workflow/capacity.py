"""How many processes are worth their start."""

import math

from fractal_tasks.errors import FractalTasksError
from fractal_tasks.runner import default_workers
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.workflow.run import Workflow

_FEW_IMAGES = 4
_SMALL_PX = 1 << 24
"""Level-0 pixels of a channel, in all of them: benchmarks/PROFILE.md."""


def choose_workers(workflow: Workflow) -> int:
    """Give 1 if the work takes less time than workers need to start, else the default.

    Args:
        workflow: Which has found its images.
    """
    method = workflow.settings.get("method")
    takes_long = method is not None and method.takes_long
    if takes_long or len(workflow.left) > _FEW_IMAGES:
        return default_workers()
    options = workflow.storage_options
    images = [parse_image_url(url, options) for url in workflow.left]
    try:
        pixels = sum(math.prod(open_image(image).shape) for image in images)
    except FractalTasksError:
        # Its unit says what is wrong with it.
        return default_workers()
    return 1 if pixels <= _SMALL_PX else default_workers()
