"""The beginning of every unit of work that writes to images."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.urls import ImageUrl


@contextmanager
def working_on(*urls: ImageUrl) -> Iterator[None]:
    """Hold images for the body alone, cleared of what interrupted runs left.

    All locks are taken before the body, in one order for all workers: two that each
    hold what the other waits for would wait forever. They are not re-entrant, so the
    body must not take them again.

    Args:
        urls: The images that the body writes or adds, each any number of times.

    Raises:
        InvalidInputError: One of them can only be read.
        PublishError: A lock cannot be taken, or what is left cannot be cleared.
    """
    for url in urls:
        files_of(url).check_writable(url)
    ordered = sorted(dict.fromkeys(urls), key=lambda url: url.zarr_url)
    with ExitStack() as locks:
        for url in ordered:
            locks.enter_context(files_of(url).lock_image(url))
        for url in ordered:
            files_of(url).heal_image(url)
        yield
