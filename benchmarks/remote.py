"""Count the requests that each task makes to an object store, per ROI.

Puts plates with few and with many fields into an S3 server on this machine and runs the
three tasks: once as they are, and once with the stores that zarr opens by default.

    python benchmarks/remote.py

Needs the extra `dev`. Prints the table of benchmarks/REMOTE.md.
"""

import logging
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import s3fs
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from zarr.storage import FsspecStore

from fractal_tasks.storage.remote import folder as remote_folder
from fractal_tasks.storage.remote import store as remote_store
from fractal_tasks.storage.urls import Location
from fractal_tasks.synthetic import PlateOptions, create_plate
from fractal_tasks.tasks.apply_registration_to_image import apply_registration_to_image
from fractal_tasks.tasks.calculate_registration import calculate_registration
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus

FIELDS = (2, 4)
"""Fields along y and x: 4 and 16 ROIs."""

Requests = Counter[str]


@contextmanager
def s3_server() -> Iterator[str]:
    """Serve S3 on this machine; give the endpoint."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


@contextmanager
def counted() -> Iterator[Requests]:
    """Count requests, chunks apart from other objects."""
    requests: Requests = Counter()
    call = s3fs.S3FileSystem._call_s3

    async def counted_call(
        self: s3fs.S3FileSystem, method: str, *arguments: object, **options: object
    ) -> object:
        key = str(options.get("Key"))
        kind = "chunk" if "/c/" in key and "/tables/" not in key else "other"
        requests[f"{method} {kind}"] += 1
        return await call(self, method, *arguments, **options)

    with patch.object(s3fs.S3FileSystem, "_call_s3", counted_call):
        yield requests


@contextmanager
def plain_stores() -> Iterator[None]:
    """Let the tasks use the store and the options that zarr has by default."""

    def options_of(location: Location) -> dict[str, object]:
        return {"use_listings_cache": False, **location.storage_options}

    with (
        patch.object(remote_store.RemoteStore, "get", FsspecStore.get),
        patch.object(remote_store.RemoteStore, "list_dir", FsspecStore.list_dir),
        patch.object(remote_store, "options_of", options_of),
        patch.object(remote_folder, "options_of", options_of),
    ):
        yield


def put_plate(fields: int, endpoint: str) -> str:
    """Make a plate of one well and two acquisitions, and put it into a bucket."""
    options = PlateOptions(
        fields_y=fields,
        fields_x=fields,
        field_size_px=256,
        acquisitions=2,
        channels=1,
        levels=3,
        nuclei_per_mm2=2500,
        plate_shift_um=6.0,
        ngff_version="0.5",
        labels=False,
    )
    files = s3fs.S3FileSystem(endpoint_url=endpoint, key="key", secret="secret")
    with tempfile.TemporaryDirectory() as folder:
        plate = create_plate(Path(folder) / "plate.zarr", options)
        bucket = f"bucket-{os.urandom(8).hex()}"
        files.mkdir(bucket)
        files.put(f"{plate}/", f"{bucket}/plate.zarr/", recursive=True)
    return f"s3://{bucket}/plate.zarr/A/01"


def run_tasks(well: str) -> dict[str, Requests]:
    """Run one unit of each task; give the requests of each."""
    images = [f"{well}/0", f"{well}/1"]
    table = "FOV_ROI_table_registered"
    units: dict[str, Callable[[], object]] = {
        "calculate": lambda: calculate_registration(
            zarr_url=images[1],
            init_args={"reference_zarr_url": images[0]},
            wavelength_id="A01_C01",
            level_path="1",
        ),
        "consensus": lambda: find_registration_consensus(
            zarr_url=images[0], init_args={"zarr_url_list": images}
        ),
        "apply": lambda: apply_registration_to_image(
            zarr_url=images[1], registered_roi_table=table, overwrite_input=False
        ),
    }
    found = {}
    for name, run in units.items():
        with counted() as requests:
            run()
        found[name] = requests
    return found


def main() -> None:
    """Print the table."""
    with s3_server() as endpoint:
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        print(
            "| task | ROIs | stores | chunks read | requests for them | chunks written "
            "| all other requests |\n|---|---|---|---|---|---|---|"
        )
        for fields in FIELDS:
            ours = run_tasks(put_plate(fields, endpoint))
            well = put_plate(fields, endpoint)
            with plain_stores():
                plain = run_tasks(well)
            for task in ours:
                chunks = ours[task]["get_object chunk"]
                for name, requests in (("ours", ours[task]), ("plain", plain[task])):
                    reading = sum(
                        requests[f"{kind}_object chunk"] for kind in ("get", "head")
                    )
                    writing = requests["put_object chunk"]
                    others = requests.total() - reading - writing
                    print(
                        f"| {task} | {fields**2} | {name} | {chunks} | {reading} "
                        f"| {writing} | {others} |"
                    )


if __name__ == "__main__":
    main()
