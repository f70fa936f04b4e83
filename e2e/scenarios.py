"""What is run on the server, and what must come out."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client import Client, Job
from plates import InputPlate, NgffVersion, check, digest
from processes import E2EError

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / "docs" / "workflows"
OVERWRITE = WORKFLOWS / "registration.json"
KEEP_INPUT = WORKFLOWS / "registration_keep_input.json"
SWITCH = WORKFLOWS / "from_fractal_tasks_core.py"
EXPORTED = Path(__file__).with_name("exported_fractal_tasks_core.json")

TASK_TYPES = {
    "Calculate Registration (image-based)": "compound",
    "Find Registration Consensus": "compound",
    "Apply Registration to Image": "parallel",
    "Registration Report": "non_parallel",
}


class Scenarios:
    """All of them, on one server."""

    def __init__(self, client: Client) -> None:
        """Create the project."""
        self._client = client
        self._project = client.create_project("e2e")
        self._workflows: dict[Path, int] = {}

    def collect(self, wheel: Path) -> None:
        """Let the server install the package, and check the tasks it offers."""
        started = time.monotonic()
        tasks = self._client.collect_wheel(wheel)
        found = {task["name"]: task["type"] for task in tasks}
        check(found == TASK_TYPES, f"the server found the tasks {found}")
        _report(f"collected {wheel.name}", started)

    def run_all(self) -> None:
        """Run every scenario."""
        run = self._run
        run("NGFF 0.4 - input replaced", self._replace_input, wells=2)
        run("NGFF 0.4 - input kept", self._keep_input)
        run("NGFF 0.5 - input replaced", self._replace_input, ngff_version="0.5")
        run("NGFF 0.5 - input kept", self._keep_input, ngff_version="0.5")
        run("workflow exported by fractal-tasks-core", self._exported)
        run("one image fails and is run again", self._resume)
        run("apply without consensus", self._missing_step)

    def _run(
        self,
        name: str,
        scenario: Callable[[InputPlate, int], None],
        *,
        ngff_version: NgffVersion = "0.4",
        wells: int = 1,
    ) -> None:
        """Run a scenario on a plate and a dataset of its own."""
        started = time.monotonic()
        folder = self._client.projects / name.replace(" ", "_")
        path = folder / "plate.zarr"
        plate = InputPlate(path, ngff_version=ngff_version, wells=wells)
        dataset = self._client.import_dataset(
            self._project, name, folder, plate.image_list()
        )
        try:
            scenario(plate, dataset)
        except E2EError as error:
            raise E2EError(f"{name}: {error}") from error
        _report(name, started)

    def _replace_input(self, plate: InputPlate, dataset: int) -> None:
        self._run_to_the_end(self._workflow(OVERWRITE), dataset)
        self._check_replaced(plate, dataset)
        _check_report(plate)
        before = digest(plate.path)
        again = self._submit(OVERWRITE, dataset)
        check(
            again.status == "failed" and "empty image list" in again.log,
            f"second run on registered images: {again.status}\n{again.log}",
        )
        check(digest(plate.path) == before, f"a second run changed {plate.path}")

    def _check_replaced(self, plate: InputPlate, dataset: int) -> None:
        plate.check_registered(suffix="")
        expected = [
            image | {"origin": None, "types": {"is_3D": False, "registered": True}}
            for image in plate.judged_list()
        ]
        self._check_images(dataset, expected)

    def _keep_input(self, plate: InputPlate, dataset: int) -> None:
        workflow = self._workflow(KEEP_INPUT)
        self._run_to_the_end(workflow, dataset)
        _check_report(plate)
        plate.check_input_untouched()
        plate.check_registered(suffix="_registered")
        inputs = [image | {"origin": None} for image in plate.judged_list()]
        outputs = [
            image
            | {
                "zarr_url": f"{image['zarr_url']}_registered",
                "origin": image["zarr_url"],
                "types": {"is_3D": False, "registered": True},
            }
            for image in plate.judged_list()
        ]
        self._check_images(dataset, inputs + outputs)
        registered = [Path(image["zarr_url"]) for image in outputs]
        before = [digest(image) for image in registered]
        self._run_to_the_end(workflow, dataset)
        self._check_images(dataset, inputs + outputs)
        after = [digest(image) for image in registered]
        check(after == before, f"a second run changed images of {plate.path}")

    def _exported(self, plate: InputPlate, dataset: int) -> None:
        """Switch a workflow of fractal-tasks-core over as the documentation says."""
        answer = subprocess.run(
            [sys.executable, SWITCH, EXPORTED], check=True, capture_output=True
        )
        workflow = self._client.import_workflow(
            self._project, json.loads(answer.stdout)
        )
        self._run_to_the_end(workflow["id"], dataset)
        self._check_replaced(plate, dataset)

    def _resume(self, plate: InputPlate, dataset: int) -> None:
        """Break a chunk that only *apply* reads, and repair it after the failure."""
        broken = plate.images[1]
        (chunk,) = Path(f"{broken.url}/0").glob("1/0/0/0")
        content = chunk.read_bytes()
        chunk.write_bytes(content[: len(content) // 2])
        job = self._submit(OVERWRITE, dataset)
        check(
            job.status == "failed" and broken.url in job.log,
            f"{chunk} was truncated, but the job {job.status}\n{job.log}",
        )
        images = self._client.images(self._project, dataset)
        missing = [
            one["zarr_url"] for one in images if "registered" not in one["types"]
        ]
        check(missing == [broken.url], f"not registered: {missing}")
        chunk.write_bytes(content)
        again = self._submit(OVERWRITE, dataset, first_task=2)
        check(again.status == "done", f"second run {again.status}\n{again.log}")
        self._check_replaced(plate, dataset)

    def _missing_step(self, plate: InputPlate, dataset: int) -> None:
        before = digest(plate.path)
        job = self._submit(OVERWRITE, dataset, first_task=2)
        check(
            job.status == "failed" and "MissingStepError" in job.log,
            f"apply without a consensus: {job.status}\n{job.log}",
        )
        check(digest(plate.path) == before, f"a failed run changed {plate.path}")

    def _workflow(self, file: Path) -> int:
        """Import a workflow file, once."""
        if file not in self._workflows:
            content = json.loads(file.read_text())
            workflow = self._client.import_workflow(self._project, content)
            self._workflows[file] = workflow["id"]
        return self._workflows[file]

    def _submit(self, file: Path, dataset: int, first_task: int = 0) -> Job:
        return self._client.run_workflow(
            self._project, self._workflow(file), dataset, first_task=first_task
        )

    def _run_to_the_end(self, workflow: int, dataset: int) -> None:
        job = self._client.run_workflow(self._project, workflow, dataset)
        check(job.status == "done", f"job {job.id} {job.status}\n{job.log}")
        statuses = self._client.task_statuses(self._project, workflow, dataset)
        for task, status in statuses.items():
            check(status["status"] == "done", f"workflow task {task}: {status}")
            # The server marks images whose log has this word.
            check(not status["has_warnings"], _warnings(job))

    def _check_images(self, dataset: int, expected: list[dict[str, Any]]) -> None:
        found = self._client.images(self._project, dataset)
        order = sorted(found, key=lambda image: str(image["zarr_url"]))
        check(
            order == sorted(expected, key=lambda image: str(image["zarr_url"])),
            f"the image list is\n{json.dumps(order, indent=1)}",
        )


def _check_report(plate: InputPlate) -> None:
    page = plate.path.with_name("plate_registration.html")
    check(page.is_file(), f"found no report at {page}")
    text = page.read_text(encoding="utf-8")
    check("<strong>Usable" in text, f"{page} does not say that the plate is usable")


def _warnings(job: Job) -> str:
    lines = [
        f"{log.name}: {line}"
        for log in sorted(job.folder.rglob("*-log.txt"))
        for line in log.read_text().splitlines()
        if "warning" in line.lower()
    ]
    return "\n".join([f"job {job.id}: logs with warnings", *lines])


def _report(what: str, started: float) -> None:
    print(f"ok: {what} ({time.monotonic() - started:.0f} s)", flush=True)
