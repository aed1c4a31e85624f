"""The client against servers that misbehave."""

import http.server
import threading
from contextlib import contextmanager

import pytest

from vllm_lab.load.sweep import replay
from vllm_lab.replay.replay import TracedRequest

ASKED = [TracedRequest("r", 0.0, 0, [1, 2], [3, 4])]
CHUNK = b'data: {"choices": [{"text": "a"}]}\n\n'


@contextmanager
def server(status: int, body: bytes):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"no memory", "HTTP 500: no memory"),
        (200, CHUNK + b'data: {"error": {"message": "dead"}}\n\n', "dead"),
        (200, CHUNK + b"data: {\n\n", "JSONDecodeError"),
        (200, CHUNK, "received 0 tokens instead of 2"),
        (200, CHUNK + b'data: {"choices": [], "usage": {"completion_tokens": 1}}\n\n', "received 1 tokens"),
    ],
)
def test_whatever_goes_wrong_is_the_requests_error(status, body, words):
    with server(status, body) as url:
        (answer,) = replay(url, "m", ASKED, forced=False, timeout=10)
    assert words in answer.error
    assert answer.e2e is None
    assert answer.tpot is None


def test_a_server_that_is_not_there_is_an_error_too():
    (answer,) = replay("http://127.0.0.1:9", "m", ASKED, forced=False, timeout=10)
    assert answer.error.startswith("ConnectError")
    assert answer.ttft is None
