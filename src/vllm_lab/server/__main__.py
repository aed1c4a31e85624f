"""python -m vllm_lab.server: an OpenAI-compatible server on mini-vLLM. It needs no GPU and no weights."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.replay import flags
from vllm_lab.server.app import Server
from vllm_lab.server.live import LiveEngine, Telemetry
from vllm_lab.server.texts import ByteTexts, Outputs, TokenizerTexts
from vllm_lab.traces.trace import Trace

SHUTDOWN = 5  # s that open streams have left when the server is asked to stop


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    arguments = _parser().parse_args(argv)
    texts = TokenizerTexts(arguments.tokenizer) if arguments.tokenizer else ByteTexts()
    outputs = Outputs(texts, Trace.read(arguments.trace) if arguments.trace else None)
    engine = LiveEngine(arguments.version, flags.limits_from(arguments), Telemetry(arguments.model))
    app = Server(engine, texts, outputs, arguments.model).app()
    with _listen(arguments.host, arguments.port) as listening:
        host, port = listening.getsockname()[:2]
        console.log(f"{arguments.version} serves {arguments.model} on http://{host}:{port}")
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN)
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise LabError(
            f"{host}:{port}: {error.strerror}; give another --port, or 0 for a free one"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vllm_lab.server", description=__doc__)
    parser.add_argument("--version", choices=VERSIONS, default=list(VERSIONS)[-1], help="(%(default)s)")
    parser.add_argument("--trace", type=Path, help="prompts with their outputs, .parquet or .jsonl")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="its folder; without it: bytes")
    parser.add_argument("--model", default="mini-vllm", help="the model's name (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0: a free one (%(default)s)")
    flags.add_limits(parser)
    flags.add_clock(parser)
    return parser


if __name__ == "__main__":
    console.run(main)
