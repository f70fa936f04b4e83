"""Runs units that stop while they replace a folder, until they are told to end."""

import multiprocessing
import os
import sys
from pathlib import Path
from threading import Event

from fractal_tasks.interrupts import stopping_on_signals
from fractal_tasks.runner import Place, Task, open_engine, run_task
from fractal_tasks.storage.local.locks import image_lock
from fractal_tasks.storage.local.publish import replace_directory

_LOCKS = []
"""Libraries make some, as numcodecs does, and keep them for ever."""


def replace(*, zarr_url: str, stuck: bool = False) -> None:
    """Replace an image; say when half of the new one is there, and wait."""
    _LOCKS.append(multiprocessing.Lock())
    image = Path(zarr_url)
    replacing = replace_directory(image, image=image, validate=lambda build: None)
    with image_lock(image), replacing as build:
        build.mkdir()
        (build / "half").write_text("new")
        try:
            os.write(1, b"building\n")
            Event().wait()
        finally:
            if stuck:
                os.write(1, b"cleaning\n")
                Event().wait()


def main(workers: str, stuck: str, max_cleanup_s: str, *urls: str) -> None:
    """Replace images in worker processes, or in this one."""
    task = Task(name="Replace", kind="parallel", function=replace)
    with (
        stopping_on_signals(float(max_cleanup_s)),
        open_engine(Place(), int(workers)) as engine,
    ):
        run_task(task, urls, {"stuck": stuck == "stuck"}, engine=engine)


if __name__ == "__main__":
    main(*sys.argv[1:])
