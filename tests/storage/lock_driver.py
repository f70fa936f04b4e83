"""Several processes take one lock in turn; print what they counted.

`python lock_driver.py MODE DIRECTORY` with MODE `plain`, `nfs` (unlinking an open file
only renames it, as NFS clients do) or `killed` (half of the processes die by SIGKILL
while they hold the lock).
"""

import json
import os
import signal
import sys
import uuid
from pathlib import Path

from fractal_tasks.storage.locks import image_lock

WORKERS, TURNS = 4, 150


def work(directory: Path, die_at: int) -> None:
    """Count up under the lock; fail if anyone else is inside."""
    image = directory / "plate.zarr" / "B" / "03" / "1"
    counter, inside = directory / "counter", directory / "inside"
    for turn in range(TURNS):
        with image_lock(image):
            inside.touch(exist_ok=False)
            counter.write_text(str(int(counter.read_text()) + 1))
            inside.unlink()
            if turn == die_at:
                os.kill(os.getpid(), signal.SIGKILL)


def rename_instead_of_unlinking() -> None:
    unlink = Path.unlink

    def retire(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".lock":
            path.rename(path.with_name(f".nfs{uuid.uuid4().hex}"))
        else:
            unlink(path, missing_ok=missing_ok)

    Path.unlink = retire


def main() -> None:
    mode, directory = sys.argv[1], Path(sys.argv[2])
    (directory / "plate.zarr").mkdir()
    (directory / "counter").write_text("0")
    if mode == "nfs":
        rename_instead_of_unlinking()
    children = []
    for number in range(WORKERS):
        child = os.fork()
        if child == 0:
            try:
                work(directory, 9 if mode == "killed" and number % 2 else TURNS)
            except OSError:
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    count = int((directory / "counter").read_text())
    json.dump({"codes": codes, "count": count}, sys.stdout)


if __name__ == "__main__":
    main()
