"""A local HTTP server that serves one file, with the ill manners of real ones to order."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class FileServer:
    """What the server does; a test sets it before the download."""

    body: bytes
    ranges: bool = True
    fail_first: list[int] = field(default_factory=list)  # statuses of the first answers
    drop_after: list[int] = field(default_factory=list)  # bytes after which an answer's connection is dropped
    redirect: bool = False
    seen: list[tuple[str, str | None]] = field(default_factory=list)  # (path, Range) of each request
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.seen.append((request.path, asked))
        if self.fail_first:
            request.send_error(self.fail_first.pop(0))
        elif self.redirect and not request.path.startswith("/moved"):
            request.send_response(302)
            request.send_header("Location", "/moved" + request.path)
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif asked and self.ranges:
            self._send_from(request, int(asked.removeprefix("bytes=").removesuffix("-")))
        else:
            self._send(request, 200, self.body, {})

    def _send_from(self, request: BaseHTTPRequestHandler, start: int) -> None:
        size = len(self.body)
        if start >= size:
            self._send(request, 416, b"", {"Content-Range": f"bytes */{size}"})
        else:
            self._send(request, 206, self.body[start:], {"Content-Range": f"bytes {start}-{size - 1}/{size}"})

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        if self.drop_after:
            request.wfile.write(body[: self.drop_after.pop(0)])
            request.close_connection = True
        else:
            request.wfile.write(body)


@pytest.fixture
def serve() -> Iterator[Callable[..., FileServer]]:
    """Start servers: serve(body, ranges=…, …) gives one with its `url` set."""
    running: list[ThreadingHTTPServer] = []

    def start(body: bytes, **manners: object) -> FileServer:
        server = FileServer(body, **manners)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(http)
        server.url = f"http://127.0.0.1:{http.server_port}"
        return server

    yield start
    for http in running:
        http.shutdown()
        http.server_close()
