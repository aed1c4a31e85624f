"""The calls that a forward of the model must make, and what was counted beside them.

A forward computes all tokens of a step: these are the calls for each output token, and for a whole prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vllm_lab.common.errors import LabError
from vllm_lab.tracing.hooks import Call
from vllm_lab.tracing.modules import kind_of, named

# What every decoder layer of these models calls; Qwen3 also norms the heads of queries and keys.
NORMS_A_LAYER = {"LlamaForCausalLM": 2, "Qwen3ForCausalLM": 4}


@dataclass(frozen=True)
class Expected:
    """Calls of one kind of module in each forward."""

    kind: str
    calls: int
    why: str


def from_config(config: dict[str, Any]) -> list[Expected] | None:
    """By the model's config.json; None for an architecture that is not spelt out here."""
    norms = NORMS_A_LAYER.get((config.get("architectures") or [""])[0])
    if norms is None:
        return None
    layers = config.get("num_hidden_layers")
    if not isinstance(layers, int):
        raise LabError(f"config.json: num_hidden_layers is {layers!r}, expected a whole number")
    return [
        Expected("norm", norms * layers + 1, f"{norms} x {layers} layers + 1 before the logits"),
        Expected("attention", layers, f"{layers} layers"),
        Expected("rotary", layers, f"{layers} layers, one module for all"),
        Expected("activation", layers, f"{layers} layers"),
        Expected("linear", 4 * layers, f"4 x {layers} layers: qkv, o, gate and up, down"),
        Expected("embedding", 1, "once a forward"),
        Expected("logits", 1, "once a forward, for the last token of each request"),
    ]


def from_modules(roots: dict[str, Any]) -> list[Expected]:
    """By the modules that the model has, each called once, a shared one once for each place that it has."""
    kinds = Counter(kind_of(module) for module in named(roots, remove_duplicate=False).values())
    return [
        Expected(kind, count, f"{count} found in the model")
        for kind, count in kinds.items()
        if kind not in (None, "sampler")
    ]


def check(config: dict[str, Any], roots: dict[str, Any], calls: Sequence[Call]) -> dict[str, Any]:
    """The account: each kind's calls in every forward, modules that were silent and why, and findings."""
    architecture = (config.get("architectures") or ["no architecture"])[0]
    expected = from_config(config)
    basis = f"config.json: {architecture}"
    if expected is None:
        expected = from_modules(roots)
        basis = f"modules found in the model; what {architecture} calls is not spelt out here"
    if "sampler" in roots:
        expected.append(Expected("sampler", 1, "once a forward"))
    rows = [_row(found, calls) for found in expected]
    silent = _silent(roots, calls)
    findings = [
        f"{row['kind']}: {row['calls']} calls a forward expected ({row['why']}), counted {row['counted']}"
        for row in rows
        if not row["holds"]
    ]
    findings += [
        f"{row['module']} ({row['class']}) was never called, and why is not known"
        for row in silent
        if row["reason"] is None
    ]
    return {"basis": basis, "kinds": rows, "silent": silent, "findings": findings}


def silence(module: Any) -> str | None:
    """Why a module's hooks never run though the model works; None where that is not known."""
    ancestors = {ancestor.__name__ for ancestor in type(module).__mro__}
    if ancestors & {"ModuleList", "ModuleDict"}:
        return "a container: its members are called, not itself"
    if hasattr(module, "do_not_compile"):
        return "under @support_torch_compile, whose __call__ goes straight to forward"
    if "ParallelLMHead" in ancestors:
        return "the logits processor multiplies by its weight without calling it"
    if "ApplyRotaryEmb" in ancestors:
        return "for implementations in PyTorch; the rotary embedding has a kernel of its own here"
    if "TopKTopPSampler" in ancestors:
        return "greedy sampling takes the likeliest token without it"
    return None


def _row(expected: Expected, calls: Iterable[Call]) -> dict[str, Any]:
    counts: Counter[int] = Counter()
    forwards = 0
    for call in calls:
        forwards = max(forwards, call.forward + 1)
        counts[call.forward] += call.kind == expected.kind
    counted = [counts[number] for number in range(forwards)]
    holds = set(counted) == {expected.calls}
    return {**asdict(expected), "counted": counted, "holds": holds}


def _silent(roots: dict[str, Any], calls: Iterable[Call]) -> list[dict[str, Any]]:
    places = {call.place for call in calls}
    return [
        {"module": name, "class": type(module).__name__, "reason": silence(module)}
        for name, module in named(roots).items()
        if name not in places
    ]
