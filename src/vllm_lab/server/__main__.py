"""python -m vllm_lab.server: an OpenAI-compatible server on mini-vLLM. It needs no GPU and no weights."""

import argparse
import asyncio
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.replay import flags
from vllm_lab.server import protocol
from vllm_lab.server.live import EngineDeadError, Generation, LiveEngine, RefusedError, Telemetry
from vllm_lab.server.protocol import Outputs, Question, Reply, Texts
from vllm_lab.traces.trace import Trace

SHUTDOWN = 5  # s that open streams have left when the server is asked to stop
CLIENT_GONE = 499  # nginx's code; nobody reads it


class Server:
    """The routes: OpenAI's completions, and those for monitoring."""

    def __init__(self, engine: LiveEngine, texts: Texts, outputs: Outputs, model: str) -> None:
        self.engine = engine
        self.texts = texts
        self.outputs = outputs
        self.model = model
        self.started = int(time.time())

    def app(self) -> Starlette:
        """The application. The engine runs as long as the application does."""
        return Starlette(
            routes=[
                Route("/v1/completions", partial(self.answer, chat=False), methods=["POST"]),
                Route("/v1/chat/completions", partial(self.answer, chat=True), methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/health", self.health),
                Route("/metrics", self.metrics),
            ],
            lifespan=self._lifespan,
        )

    async def models(self, _: Request) -> Response:
        """GET /v1/models."""
        model = {"id": self.model, "object": "model", "created": self.started, "owned_by": "vllm-lab"}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _: Request) -> Response:
        """GET /health: 503 once the engine is dead, as in vLLM."""
        return Response(status_code=503 if self.engine.death else 200)

    async def metrics(self, _: Request) -> Response:
        """GET /metrics."""
        return Response(self.engine.telemetry.page(), media_type=CONTENT_TYPE_LATEST)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(self.engine.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    async def answer(self, http: Request, *, chat: bool) -> Response:
        """POST /v1/completions or /v1/chat/completions."""
        try:
            question = protocol.read(await _json(http), self.texts, chat=chat)
            prompt, most = question.prompt, question.max_tokens
            output = question.forced or self.outputs.tokens(prompt, most, question.ignore_eos)
            output = output[:most]
            generation = self.engine.add(prompt, output, question.priority)
        except (protocol.BadRequestError, RefusedError) as error:
            return _failure(error, 400)
        except EngineDeadError as error:
            return _failure(error, 503)
        name = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        end = "length" if len(output) == most else "stop"
        reply = Reply(name, self.model, int(time.time()), chat, len(prompt), end)
        if question.stream:
            stream = self._stream(generation, output, reply, question)
            return StreamingResponse(stream, media_type="text/event-stream")
        return await self._whole(http, generation, output, reply)

    async def _stream(
        self, generation: Generation, output: list[int], reply: Reply, question: Question
    ) -> AsyncIterator[str]:
        decode = self.texts.decoder()
        try:
            async for number in self.engine.tokens(generation):
                last = number == len(output) - 1
                yield protocol.event(reply.chunk(decode(output[number]), first=number == 0, last=last))
        except EngineDeadError as error:
            yield protocol.event(protocol.error_body(error, 500))
        else:
            if question.include_usage:
                yield protocol.event(reply.usage_chunk(_usage(reply, generation)))
        finally:
            self.engine.abort(generation)  # if the client leaves, only this generator is closed
        yield protocol.event("[DONE]")

    async def _whole(
        self, http: Request, generation: Generation, output: list[int], reply: Reply
    ) -> Response:
        decode = self.texts.decoder()
        answering = asyncio.create_task(_exhaust(self.engine.tokens(generation)))
        leaving = asyncio.create_task(_disconnected(http))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                return Response(status_code=CLIENT_GONE)
            answering.result()
        except EngineDeadError as error:
            return _failure(error, 500)
        finally:
            answering.cancel()
            leaving.cancel()
            self.engine.abort(generation)
        return JSONResponse(reply.whole("".join(map(decode, output)), _usage(reply, generation)))


def _failure(error: Exception, status: int) -> Response:
    return JSONResponse(protocol.error_body(error, status), status)


def _usage(reply: Reply, generation: Generation) -> dict[str, Any]:
    return reply.usage(generation.handed_out, generation.request.cached_tokens)


async def _json(http: Request) -> Any:
    try:
        return await http.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise protocol.BadRequestError(f"the body is not JSON ({error})") from error


async def _exhaust(tokens: AsyncIterator[int]) -> None:
    async for _ in tokens:
        pass


async def _disconnected(http: Request) -> None:
    """Return once the client has closed the connection."""
    while (await http.receive())["type"] != "http.disconnect":
        pass


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    arguments = _parser().parse_args(argv)
    texts = protocol.TokenizerTexts(arguments.tokenizer) if arguments.tokenizer else protocol.ByteTexts()
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
        advice = "give another --port, or 0 for a free one"
        raise LabError(f"{host}:{port}: {error.strerror}; {advice}") from error


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
