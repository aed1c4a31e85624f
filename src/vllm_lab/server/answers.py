"""What a prompt is answered with: what the trace holds for it, else words that mean nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np

from vllm_lab.server.texts import Texts
from vllm_lab.traces.trace import Trace

FILLER = (
    "This server has no model: it decides as an engine would, takes as long, and says these words. "
    "Give it a trace whose prompts it is asked, and it answers what the trace holds. "
)
UNASKED_TOKENS = 64  # of filler, where the client names no limit


class Answers:
    """Output tokens by prompt. A trace's requests with the same prompt are answered with the first's."""

    def __init__(self, texts: Texts, trace: Trace | None = None) -> None:
        self._filler = texts.encode(FILLER)
        self._outputs: dict[bytes, list[int]] = {}
        for row in range(len(trace) if trace else 0):
            self._outputs.setdefault(_key(trace.prompt(row)), trace.output(row).tolist())

    def tokens(self, prompt: Sequence[int], most: int | None, ignore_end: bool) -> list[int]:
        """At most `most` tokens, exactly as many with `ignore_end`: filler then follows the trace's output.

        The same prompt is always answered alike.
        """
        key = _key(prompt)
        known = self._outputs.get(key, [])
        if known and not (ignore_end and most):
            return known[:most]
        start = int.from_bytes(key[:8]) % len(self._filler)
        filler = islice(cycle(self._filler), start, None)
        length = most or UNASKED_TOKENS
        return known[:length] + list(islice(filler, max(0, length - len(known))))


def _key(prompt: Sequence[int]) -> bytes:
    return hashlib.sha256(np.asarray(prompt, "<i4").tobytes()).digest()
