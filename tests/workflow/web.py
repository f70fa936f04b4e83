"""A web server for a folder, which lists nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Web:
    """Where the folder is served, and what was asked for."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    broken: str = ""
    """What answers with an error of the server."""


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, web: Web, *arguments: Any, **named: Any) -> None:
        self.web = web
        super().__init__(*arguments, **named)

    def send_head(self) -> Any:
        self.web.requests.append(self.path)
        if self.web.broken and self.web.broken in self.path:
            return self.send_error(503)
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        self.send_error(404)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[Web]:
    """Serve a folder on this machine for the body."""
    web = Web()
    handler = partial(_Handler, web, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
