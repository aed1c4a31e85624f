"""The routes: OpenAI's completions, and those for monitoring."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vllm_lab.server import protocol
from vllm_lab.server.live import EngineDeadError, Generation, LiveEngine, RefusedError
from vllm_lab.server.protocol import BadRequestError, Question, Reply, error_body, event
from vllm_lab.server.texts import Outputs, Texts

CLIENT_GONE = 499  # nginx's code; nobody reads it


class Server:
    """The routes, and what they share."""

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
                Route("/v1/completions", self.completions, methods=["POST"]),
                Route("/v1/chat/completions", self.chat_completions, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/health", self.health),
                Route("/metrics", self.metrics),
            ],
            lifespan=self._lifespan,
        )

    async def completions(self, http: Request) -> Response:
        """POST /v1/completions."""
        return await self._answer(http, chat=False)

    async def chat_completions(self, http: Request) -> Response:
        """POST /v1/chat/completions."""
        return await self._answer(http, chat=True)

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

    async def _answer(self, http: Request, *, chat: bool) -> Response:
        try:
            question = protocol.read(await _json(http), self.texts, chat=chat)
            prompt, most = question.prompt, question.max_tokens
            output = question.forced or self.outputs.tokens(prompt, most, question.ignore_eos)
            output = output[:most]
            generation = self.engine.add(prompt, output, question.priority)
        except (BadRequestError, RefusedError) as error:
            return JSONResponse(error_body(str(error), "BadRequestError", 400), 400)
        except EngineDeadError as error:
            return JSONResponse(error_body(str(error), "InternalServerError", 503), 503)
        reply = Reply(
            f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}",
            self.model,
            int(time.time()),
            chat,
            len(prompt),
            "length" if len(output) == most else "stop",
        )
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
                yield event(reply.chunk(decode(output[number]), first=number == 0, last=last))
        except EngineDeadError as error:
            yield event(error_body(str(error), "InternalServerError", 500))
        else:
            if question.include_usage:
                yield event(reply.usage_chunk(_usage(reply, generation)))
        finally:
            self.engine.abort(generation)  # if the client leaves, only this generator is closed
        yield event("[DONE]")

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
            return JSONResponse(error_body(str(error), "InternalServerError", 500), 500)
        finally:
            answering.cancel()
            leaving.cancel()
            self.engine.abort(generation)
        return JSONResponse(reply.whole("".join(map(decode, output)), _usage(reply, generation)))


def _usage(reply: Reply, generation: Generation) -> dict[str, Any]:
    return reply.usage(generation.handed_out, generation.request.cached_tokens)


async def _json(http: Request) -> Any:
    try:
        return await http.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"the body is not JSON ({error})") from error


async def _exhaust(tokens: AsyncIterator[int]) -> None:
    async for _ in tokens:
        pass


async def _disconnected(http: Request) -> None:
    """Return once the client has closed the connection."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
