"""Run all tasks of a package on plates; runs in the environment of the package.

Usage: ``plate_tasks.py PACKAGE TASK TASK TASK TASK TASK``, the tasks in the order of a
workflow. Reads lines of JSON ``{"urls", "folder"}`` from the standard input and answers
each with a line of JSON: ``cpu_s`` of each task, ``own``, the columns of the ROIs after
*calculate*, ``registered``, those after *consensus*, and ``failed``, what units that
failed have said.
"""

import json
import logging
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ngio import open_ome_zarr_container

TABLE = "FOV_ROI_table"
REGISTERED = f"{TABLE}_registered"
WAVELENGTH = "A01_C01"

Task = Callable[..., Any]
Columns = dict[str, Any]
Tables = dict[str, dict[str, Columns]]
"""Columns of the ROIs, by url and name of the ROI."""


@dataclass
class Workflow:
    """The tasks of a package, and what they took."""

    tasks: list[Task]
    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failed: list[str] = field(default_factory=list)

    def run(self, urls: list[str], folder: str, **arguments: object) -> dict[str, Any]:
        """Run all tasks; further arguments are those of *calculate*."""
        init_calculate, calculate, init_consensus, consensus, apply = self.tasks
        self.cpu_s.clear()
        self.failed.clear()
        every = {"zarr_urls": urls, "zarr_dir": folder}
        units = init_calculate(**every)["parallelization_list"]
        arguments["wavelength_id"] = WAVELENGTH
        self._run_units("calculate", calculate, units, **arguments)
        own = _read_columns(urls, TABLE)
        units = init_consensus(**every)["parallelization_list"]
        self._run_units("consensus", consensus, units)
        registered = _read_columns(urls, REGISTERED)
        units = [{"zarr_url": url} for url in registered]
        self._run_units("apply", apply, units, registered_roi_table=REGISTERED)
        return {
            "cpu_s": self.cpu_s,
            "own": own,
            "registered": registered,
            "failed": self.failed,
        }

    def _run_units(
        self,
        step: str,
        task: Task,
        units: Iterable[Mapping[str, Any]],
        **arguments: object,
    ) -> None:
        for unit in units:
            start = time.process_time()
            try:
                task(**unit, **arguments)
            # One unit that fails must not end the benchmark, whatever it raises.
            except Exception as error:  # noqa: BLE001
                self.failed.append(f"{step}: {error}")
            self.cpu_s[step] += time.process_time() - start


def load_workflow(module: str, names: Iterable[str]) -> Workflow:
    """Import the tasks of a package."""
    return Workflow(
        [getattr(import_module(f"{module}.{name}"), name) for name in names]
    )


def _read_columns(urls: Iterable[str], table: str) -> Tables:
    """Read what is stored of each ROI of each image that has the table."""
    found = {}
    for url in urls:
        container = open_ome_zarr_container(url)
        if table in container.list_tables():
            rois = container.get_generic_roi_table(table).rois()
            found[url] = {str(roi.name): dict(roi.model_extra or {}) for roi in rois}
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    module, *names = sys.argv[1:]
    workflow = load_workflow(module, names)
    for line in sys.stdin:
        with redirect_stdout(sys.stderr):
            answer = workflow.run(**json.loads(line))
        # Numbers of numpy are none of JSON.
        print(json.dumps(answer, default=float), flush=True)


if __name__ == "__main__":
    main()
