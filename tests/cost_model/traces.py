"""A small multi-turn trace."""

import numpy as np

from vllm_lab.traces.trace import Trace


def trace_of(conversations: int, turns: int) -> Trace:
    """Turns of 60 + 10 tokens, a second apart; conversations start half a second apart."""
    turn = np.tile(np.arange(1, turns + 1), conversations)
    of = np.repeat(np.arange(conversations), turns)
    order = np.argsort(arrivals := of * 0.5 + turn * 1.0, kind="stable")
    turn, of, arrivals = turn[order], of[order], arrivals[order]
    first_use = {number: place for place, number in enumerate(dict.fromkeys(of.tolist()))}
    return Trace(
        request_id=[f"c{c}-t{t}" for c, t in zip(of, turn, strict=True)],
        conversation_id=[f"c{c}" for c in of],
        turn=turn,
        arrival_time=arrivals,
        priority=np.zeros(len(of)),
        prompt_tokens=turn * 70 - 10,
        output_tokens=np.full(len(of), 10),
        stream=[first_use[c] for c in of.tolist()],
        stream_ids=np.random.default_rng(0).integers(0, 256, conversations * turns * 70),
        stream_offsets=np.arange(conversations + 1) * turns * 70,
        metadata={"mode": "multi_turn", "unit": "token"},
    )
