"""What a user does in the web page of a Fractal server, through its HTTP interface."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from processes import E2EError

Json = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A job that ended."""

    id: int
    status: str
    log: str
    folder: Path
    """Arguments, results and logs of every process."""


def new_session() -> requests.Session:
    """Give a session that takes no proxy, which could not reach this machine."""
    session = requests.Session()
    session.trust_env = False
    return session


class Client:
    """One user of one server.

    Attributes:
        projects: The folder under which the user's datasets must be.
    """

    def __init__(self, url: str, email: str, password: str, projects: Path) -> None:
        """Log in."""
        self.projects = projects
        self._url = url
        self._session = new_session()
        answer = self._post(
            "/auth/token/login/", data={"username": email, "password": password}
        )
        self._session.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def collect_wheel(self, wheel: Path, timeout_s: float = 1800) -> list[Json]:
        """Upload a wheel, wait until its environment is built, and give its tasks."""
        with wheel.open("rb") as file:
            activity = self._post(
                "/api/v2/task/collect/pip/", files={"file": (wheel.name, file)}
            )
        address = f"/api/v2/task-group/activity/{activity['id']}/"
        activity = self._wait(address, {"pending", "ongoing"}, timeout_s)
        if activity["status"] != "OK":
            raise E2EError(f"collection of {wheel.name} failed:\n{activity['log']}")
        group = self._get(f"/api/v2/task-group/{activity['taskgroupv2_id']}/")
        tasks: list[Json] = group["task_list"]
        return tasks

    def create_project(self, name: str) -> int:
        """Create a project and give its id."""
        return int(self._post("/api/v2/project/", json={"name": name})["id"])

    def import_dataset(
        self, project: int, name: str, zarr_dir: Path, images: Sequence[Json]
    ) -> int:
        """Create a dataset with its image list and give its id."""
        dataset = {"name": name, "zarr_dir": str(zarr_dir), "images": list(images)}
        address = f"/api/v2/project/{project}/dataset/import/"
        return int(self._post(address, json=dataset)["id"])

    def import_workflow(self, project: int, workflow: Mapping[str, Any]) -> Json:
        """Import a workflow file."""
        return self._post(f"/api/v2/project/{project}/workflow/import/", json=workflow)

    def export_workflow(self, project: int, workflow: int) -> Json:
        """Give a workflow as the file that a user downloads."""
        return self._get(f"/api/v2/project/{project}/workflow/{workflow}/export/")

    def run_workflow(
        self,
        project: int,
        workflow: int,
        dataset: int,
        *,
        first_task: int = 0,
        timeout_s: float = 1800,
    ) -> Job:
        """Submit a workflow, wait for its end, and give what became of it."""
        job = self._post(
            f"/api/v2/project/{project}/job/submit/",
            params={"workflow_id": workflow, "dataset_id": dataset},
            json={"first_task_index": first_task},
        )
        address = f"/api/v2/project/{project}/job/{job['id']}/"
        job = self._wait(address, {"submitted"}, timeout_s)
        return Job(job["id"], job["status"], job["log"] or "", Path(job["working_dir"]))

    def task_statuses(self, project: int, workflow: int, dataset: int) -> Json:
        """Give the status of each task of a workflow on a dataset, with warnings."""
        latest: Json = self._get(
            f"/api/v2/project/{project}/latest-job/",
            params={"workflow_id": workflow, "dataset_id": dataset},
        )
        statuses: Json = latest["task_statuses"]
        return statuses

    def images(self, project: int, dataset: int) -> list[Json]:
        """Give the image list of a dataset."""
        address = f"/api/v2/project/{project}/dataset/{dataset}/export/"
        images: list[Json] = self._get(address)["images"]
        return images

    def _wait(self, address: str, unfinished: set[str], timeout_s: float) -> Json:
        end = time.monotonic() + timeout_s
        while (state := self._get(address))["status"] in unfinished:
            if time.monotonic() > end:
                raise E2EError(f"{address}: not finished after {timeout_s:.0f} s")
            time.sleep(0.5)
        return state

    def _get(self, address: str, **options: Any) -> Json:  # noqa: ANN401 (requests)
        return self._request("GET", address, **options)

    def _post(self, address: str, **options: Any) -> Json:  # noqa: ANN401 (requests)
        return self._request("POST", address, **options)

    def _request(self, method: str, address: str, **options: Any) -> Json:  # noqa: ANN401
        answer = self._session.request(
            method, self._url + address, timeout=60, **options
        )
        if not answer.ok:
            raise E2EError(
                f"{method} {address}: the server answered {answer.status_code}\n"
                f"{answer.text}"
            )
        content: Json = answer.json()
        return content
