"""An S3 server on this machine, and plates in it."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from tests.conftest import MakePlate
from tests.storage.remote.s3 import ACCESS_KEY, SECRET_KEY, OneByOne, Server

PlatePair = Callable[..., tuple[Path, str]]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    from moto.server import DomainDispatcherApplication, create_backend_app

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = OneByOne(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Server(f"http://127.0.0.1:{server.port}", application)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Give the server, with the credentials and the endpoint in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # No profile of the machine, and no look for a cloud's own credentials.
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return s3_server


@pytest.fixture
def plate_pair(s3: Server, make_plate: MakePlate) -> PlatePair:
    """Give a function that makes a plate, and the same in a new bucket."""

    def make(**changes: object) -> tuple[Path, str]:
        plate = make_plate(**changes)
        return plate, s3.put(plate)

    return make
