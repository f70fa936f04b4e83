"""How often *calculate* fetches and decodes a chunk, and what keeping pixels saves.

Usage: ``python benchmarks/decodes.py [SIZE_PX ...]``, by default 1024 and 2048. Prints
one line for each field size and start level: with the pixels of a ROI kept while it is
worked on, and with nothing kept. *Decodes* are those of the start level (level 0: of
both it and the windows) for each ROI of each of the two images.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

from measure import ENVIRONMENT
from packages import this_package

PLATES_SCRIPT = str(Path(__file__).with_name("plates.py"))
FIELDS_Y, FIELDS_X = 4, 4
LEVELS = ("2", "0")
REPEATS = 3
METADATA = (".json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def main(sizes_px: list[str]) -> None:
    """Measure fields of several sizes."""
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-decodes-") as folder:
        for size_px in sizes_px:
            plate = f"{folder}/{size_px}.zarr"
            fields = str(FIELDS_Y), str(FIELDS_X)
            _run(PLATES_SCRIPT, "create", plate, *fields, size_px)
            for level in LEVELS:
                _compare(plate, size_px, level)


def _compare(plate: str, size_px: str, level: str) -> None:
    """Run in turn with and without keeping, so that both see the same machine."""
    runs: dict[str, list[dict[str, Any]]] = {"kept": [], "not kept": []}
    for _ in range(REPEATS):
        for name, results in runs.items():
            results.append(json.loads(_run(__file__, "child", plate, level, name)))
    for name, results in runs.items():
        cpu_s, peak_mb, decodes = (
            median(result[key] for result in results)
            for key in ("cpu_s", "peak_mb", "decodes")
        )
        print(
            f"{size_px} px, level {level}, {name}: {cpu_s:.2f} CPU s, "
            f"{peak_mb:.0f} MB, {decodes:.2f} decodes",
            flush=True,
        )


def _run(script: str, *arguments: str) -> str:
    command = [str(this_package().python), script, *arguments]
    answer = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    return answer.stdout


def run_task(plate: str, level: str, keeping: str) -> None:
    """Run *calculate* in this process, and print what it took."""
    from zarr.storage import LocalStore

    from fractal_tasks.storage.pixels import roi_patches
    from fractal_tasks.tasks.calculate_registration import calculate_registration

    if keeping == "not kept":
        roi_patches.MAX_KEPT_BYTES = 0
    fetched: list[str] = []
    get = LocalStore.get

    async def count(self: LocalStore, key: str, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 (as zarr's)
        fetched.append(key)
        return await get(self, key, *rest, **options)

    LocalStore.get = count  # type: ignore[method-assign]  # to count
    arguments: dict[str, Any] = {
        "zarr_url": f"{plate}/A/01/1",
        "init_args": {"reference_zarr_url": f"{plate}/A/01/0"},
        "wavelength_id": "A01_C01",
        "level_path": level,
        "rerun": True,
    }
    before_s = time.process_time()
    calculate_registration(**arguments)
    cpu_s = time.process_time() - before_s
    chunks = [key for key in fetched if key.startswith(f"{level}/")]
    chunks = [key for key in chunks if not key.endswith(METADATA)]
    result = {
        "cpu_s": cpu_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "decodes": len(chunks) / (2 * FIELDS_Y * FIELDS_X),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        warnings.simplefilter("ignore")
        run_task(*sys.argv[2:])
    else:
        main(sys.argv[1:] or ["1024", "2048"])
