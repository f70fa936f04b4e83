"""The S3 server of the tests, seen from outside the package."""

import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import s3fs

ACCESS_KEY = "access-key-of-the-tests"
SECRET_KEY = "secret-key-of-the-tests"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    is_signed: bool


class OneByOne:
    """Answers one request after the other, as moto's conditional writes need it."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        self.refused_method = ""

    def __call__(self, environment: dict[str, Any], start: Any) -> Any:
        with self._lock:
            method = environment["REQUEST_METHOD"]
            is_signed = "HTTP_AUTHORIZATION" in environment
            self.requests.append(Request(method, environment["PATH_INFO"], is_signed))
            if method == self.refused_method:
                start("403 Forbidden", [("Content-Type", "text/plain")])
                return [b""]
            return list(self._application(environment, start))


@dataclass(frozen=True)
class Server:
    endpoint: str
    application: OneByOne

    @contextmanager
    def refusing(self, method: str) -> Iterator[None]:
        """Let all requests of one kind be forbidden."""
        self.application.refused_method = method
        yield
        self.application.refused_method = ""

    @contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Let moto ask for credentials, of which it knows none."""
        self._set_unchecked_requests("0")
        yield
        self._set_unchecked_requests("inf")

    def _set_unchecked_requests(self, number: str) -> None:
        url = f"{self.endpoint}/moto-api/reset-auth"
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, number.encode(), headers)
        with urllib.request.urlopen(request):
            pass

    @property
    def options(self) -> dict[str, str]:
        return {
            "key": ACCESS_KEY,
            "secret": SECRET_KEY,
            "endpoint_url": self.endpoint,
        }

    @property
    def file_system(self) -> s3fs.S3FileSystem:
        return s3fs.S3FileSystem(**self.options, use_listings_cache=False)

    def put(self, plate: Path, acl: str = "private") -> str:
        """Copy a plate into a new bucket; give its url."""
        bucket = f"bucket-{uuid.uuid4().hex}"
        self.file_system.mkdir(bucket)
        files = [path for path in sorted(plate.rglob("*")) if path.is_file()]
        root = f"{bucket}/plate.zarr"
        self.file_system.put(
            [str(path) for path in files],
            [f"{root}/{path.relative_to(plate).as_posix()}" for path in files],
            ACL=acl,
        )
        return f"s3://{root}"

    def tree_of(self, url: str) -> dict[str, bytes]:
        """Give the content of every object below a url."""
        root = url.removeprefix("s3://")
        found = self.file_system.cat(self.file_system.find(root))
        return {path[len(root) + 1 :]: content for path, content in found.items()}

    def download(self, url: str, folder: Path) -> Path:
        """Copy what is below a url to a folder on this machine."""
        for key, content in self.tree_of(url).items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder
