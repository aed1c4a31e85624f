"""The raw measurements of a sweep: every request of every replay, as one JSON file."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from vllm_lab.replay.replay import TracedRequest

ERROR_LENGTH = 500  # characters kept of a server's error


@dataclass
class SentRequest:
    """A request as its client saw it. Times are in s since the replay began.

    A chunk is an event of the stream that carries choices. vLLM sends one chunk for each token, or one for
    several tokens if the client is slower than the model.
    """

    request_id: str
    arrival: float  # when the trace wants it to be sent
    prompt_tokens: int
    asked_tokens: int  # output tokens asked for
    sent: float | None = None  # when it was sent
    chunks: list[float] = field(default_factory=list)  # when each chunk arrived
    output_tokens: int = 0  # as the server counts them; 0 if it did not report them
    cached_tokens: int | None = None  # prompt tokens found in the cache, as the server reports them
    text: str = ""
    error: str | None = None

    def note(self, event: Mapping[str, Any], now: float) -> None:
        """Take over an event of the stream that arrived at `now`: an error, a chunk or the token counts."""
        if "error" in event:
            self.error = json.dumps(event["error"])[:ERROR_LENGTH]
        if event.get("choices"):
            self.chunks.append(now)
            self.text += event["choices"][0].get("text") or ""
        if event.get("usage"):
            self.output_tokens = event["usage"]["completion_tokens"]
            self.cached_tokens = (event["usage"].get("prompt_tokens_details") or {}).get("cached_tokens")

    @property
    def ttft(self) -> float | None:
        """Sent to first chunk (s)."""
        return self.chunks[0] - self.sent if self.chunks else None

    @property
    def e2e(self) -> float | None:
        """Sent to last chunk (s); None unless the answer came in full and without an error."""
        return self.chunks[-1] - self.sent if self.error is None and self.chunks else None

    @property
    def tpot(self) -> float | None:
        """(E2E − TTFT) / (output tokens − 1) (s); None for one token or an incomplete answer."""
        if self.e2e is None or self.output_tokens < 2:
            return None
        return (self.e2e - self.ttft) / (self.output_tokens - 1)

    @property
    def itls(self) -> list[float]:
        """The gaps between the chunks (s)."""
        return [after - before for before, after in pairwise(self.chunks)]


@dataclass(frozen=True)
class Cell:
    """One replay. `problem` says why it is incomplete, in addition to its requests' errors."""

    rate: float  # requests/s
    repeat: int
    requests: list[SentRequest]  # in order of arrival; empty if nothing could be sent
    counters: dict[str, int] | None  # how much they grew; None if the server could not be asked
    load_before: float  # 1-minute average of processes that run or wait, the server's included
    load_after: float
    problem: str | None = None

    @property
    def errors(self) -> dict[str, int]:
        """Error -> the number of requests that ended in it."""
        return dict(Counter(request.error for request in self.requests if request.error))


@dataclass(frozen=True)
class Sweep:
    """All replays: the first pass over the rates, then the second, and so on."""

    cells: list[Cell]
    workload: list[TracedRequest]  # the requests that are sent in each cell, at the trace's times
    environment: dict[str, Any]
    exit_status: int | None  # of a server that ended by itself

    def by_rate(self) -> Iterator[tuple[float, list[Cell]]]:
        """The cells of each rate at which requests were sent, rates ascending."""
        sent = [cell for cell in self.cells if cell.requests]
        for rate in sorted({cell.rate for cell in sent}):
            yield rate, [cell for cell in sent if cell.rate == rate]


def content_of(found: Sweep) -> dict[str, Any]:
    """The sweep as JSON stores it, without the texts of the answers."""
    content = asdict(found)
    for cell in content["cells"]:
        for request in cell["requests"]:
            del request["text"]
    return content


def sweep_of(content: Mapping[str, Any]) -> Sweep:
    """The sweep that `content_of` stored."""
    cells = [
        Cell(**(cell | {"requests": [SentRequest(**request) for request in cell["requests"]]}))
        for cell in content["cells"]
    ]
    workload = [TracedRequest(**row) for row in content["workload"]]
    return Sweep(cells, workload, content["environment"], content["exit_status"])
