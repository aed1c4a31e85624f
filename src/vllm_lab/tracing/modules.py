"""The modules of vLLM's models: the part each plays, the calls that a forward must make, the choice of some.

A forward computes all tokens of a step. So the calls in a forward are those for each output token, and those
for a whole prompt.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

from vllm_lab.common.errors import LabError
from vllm_lab.measure.document import Check

# Kind -> the classes, one of which a module of that kind is or inherits from.
KINDS = {
    "norm": {"RMSNorm", "GemmaRMSNorm", "LayerNorm"},
    "attention": {"AttentionLayerBase"},
    "rotary": {"RotaryEmbeddingBase"},
    "linear": {"LinearBase"},
    "embedding": {"VocabParallelEmbedding"},
    "logits": {"LogitsProcessor"},
    "sampler": {"Sampler"},
}
# Where activations are defined; they have no class in common.
ACTIVATIONS = {"vllm.model_executor.layers.activation", "torch.nn.modules.activation"}
# Class -> why its modules' hooks never run, though the model works.
SILENCES = {
    "ModuleList": "a container: its members are called, not itself",
    "ModuleDict": "a container: its members are called, not itself",
    "ParallelLMHead": "the logits processor multiplies by its weight without calling it",
    "ApplyRotaryEmb": "for implementations in PyTorch; the rotary embedding has its own kernel here",
    "TopKTopPSampler": "greedy sampling takes the likeliest token without it",
}
# Norms that each decoder layer of these models calls; Qwen3 also norms the heads of queries and keys.
NORMS_PER_LAYER = {"LlamaForCausalLM": 2, "Qwen3ForCausalLM": 4}


@functools.cache
def kind_of(module_class: type) -> str | None:
    """The part that a class of torch modules plays: a key of KINDS, `activation`, or None."""
    ancestors = set(_ancestors(module_class))
    if "ParallelLMHead" in ancestors:  # an embedding by inheritance, but never called
        return None
    if module_class.__module__ in ACTIVATIONS:
        return "activation"
    return next((kind for kind, classes in KINDS.items() if ancestors & classes), None)


def place_of(name: str, caller: str | None) -> str:
    """Where a module is called: its own name, or for a shared one its `caller`'s place with its last part."""
    if not caller or name.startswith(f"{caller}."):
        return name
    return f"{caller}.{name.rpartition('.')[2]}"


@functools.cache
def layer_of(place: str) -> int | None:
    """The number of the layer that a dotted name is in: the first number in it."""
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", place)
    return int(found[1]) if found else None


def named(roots: Mapping[str, Any], remove_duplicate: bool = True) -> dict[str, Any]:
    """Dotted name -> module, of all modules below the roots (see Engine.modules).

    A module that several layers share has its first name only, unless duplicates are kept.
    """
    return {
        name: module
        for prefix, root in roots.items()
        for name, module in root.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
    }


@contextmanager
def hooked(
    roots: Mapping[str, Any], before: Callable[..., None], after: Callable[[Any], None]
) -> Iterator[None]:
    """Hook every call of the modules below the roots while the block runs.

    `before` gets the module's name, the module, its arguments and its keyword arguments; `after` its output.
    """
    with ExitStack() as handles:
        for name, module in named(roots).items():
            begins = module.register_forward_pre_hook(functools.partial(before, name), with_kwargs=True)
            ends = module.register_forward_hook(lambda _module, _arguments, output: after(output))
            handles.enter_context(begins)
            handles.enter_context(ends)
        yield


class TracedCall(Protocol):
    """What `check` looks at in a call (see calls.Call)."""

    forward: int
    place: str
    kind: str | None


def check(config: dict[str, Any], roots: dict[str, Any], calls: Sequence[TracedCall]) -> dict[str, Any]:
    """Each kind's expected and counted calls in every forward, the silent modules and why, the findings."""
    architecture = (config.get("architectures") or ["no architecture"])[0]
    if architecture in NORMS_PER_LAYER:
        basis = f"config.json: {architecture}"
        expected = _from_config(NORMS_PER_LAYER[architecture], config.get("num_hidden_layers"))
    else:
        basis = f"modules found in the model; what {architecture} calls is not described here"
        expected = _from_modules(roots)
    if "sampler" in roots:
        expected["sampler"] = (1, "once in each forward")
    counts = Counter((call.kind, call.forward) for call in calls)
    forwards = range(1 + max((call.forward for call in calls), default=-1))
    rows = []
    for kind, (number, why) in expected.items():
        counted = [counts[kind, forward] for forward in forwards]
        holds = set(counted) == {number}
        rows.append({"kind": kind, "calls": number, "why": why, "counted": counted, "holds": holds})
    places = {call.place for call in calls}
    silent = [
        {"module": name, "class": type(module).__name__, "reason": _silence(module)}
        for name, module in named(roots).items()
        if name not in places
    ]
    findings = [
        f"{row['kind']}: expected {row['calls']} calls in each forward ({row['why']}), "
        f"counted {row['counted']}"
        for row in rows
        if not row["holds"]
    ]
    findings += [
        f"{row['module']} ({row['class']}) was never called, and why is not known"
        for row in silent
        if row["reason"] is None
    ]
    return {"basis": basis, "kinds": rows, "silent": silent, "findings": findings}


def _from_config(norms: int, layers: Any) -> dict[str, tuple[int, str]]:
    """Kind -> its calls in each forward, and why, by the model's config.json."""
    if not isinstance(layers, int):
        raise LabError(f"config.json: num_hidden_layers is {layers!r}, expected a whole number")
    return {
        "norm": (norms * layers + 1, f"{norms} x {layers} layers + 1 before the logits"),
        "attention": (layers, f"{layers} layers"),
        "rotary": (layers, f"{layers} layers, one module for all"),
        "activation": (layers, f"{layers} layers"),
        "linear": (4 * layers, f"4 x {layers} layers: qkv, o, gate and up, down"),
        "embedding": (1, "once in each forward"),
        "logits": (1, "once in each forward, for the last token of each request"),
    }


def _from_modules(roots: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """The same by the modules that the model has: one of each, of a shared one at each of its places."""
    kinds = Counter(kind_of(type(module)) for module in named(roots, remove_duplicate=False).values())
    return {
        kind: (count, f"{count} found in the model")
        for kind, count in kinds.items()
        if kind not in (None, "sampler")
    }


def checks_of_kinds(found: Mapping[str, Any]) -> list[Check]:
    """What `check` found, as checks of a result document. `found` is a differing count, if there is one."""
    return [
        Check(
            f"calls_of_{row['kind']}",
            f"calls of {row['kind']} in each forward: {row['why']}",
            row["calls"],
            next((count for count in row["counted"] if count != row["calls"]), row["calls"]),
        )
        for row in found["kinds"]
    ]


def _silence(module: Any) -> str | None:
    """Why a module's hooks never run though the model works; None where that is not known."""
    if hasattr(module, "do_not_compile"):
        return "under @support_torch_compile, whose __call__ goes straight to forward"
    return next((SILENCES[name] for name in _ancestors(type(module)) if name in SILENCES), None)


def _ancestors(module_class: type) -> list[str]:
    """The names of a class and of those that it inherits from, the nearest first."""
    return [ancestor.__name__ for ancestor in module_class.__mro__]


@dataclass
class Called:
    """A module at the place where it is called."""

    class_name: str
    place: str  # dotted; see place_of

    @property
    def layer(self) -> int | None:
        """The number of its layer; None outside the layers."""
        return layer_of(self.place)

    def has_name(self, word: str) -> bool:
        """Whether the word is a part of its class's name, or a pattern of its place."""
        return word in self.class_name or fnmatchcase(self.place, word)


Found = TypeVar("Found", bound=Called)


@dataclass(frozen=True)
class Selection:
    """The calls that a list shows. The check against the configuration always covers all calls."""

    modules: tuple[str, ...] = ()  # parts of class names, or dotted names with * and ?; empty: all modules
    layers: frozenset[int] | None = None  # None: all layers, and calls outside any layer

    def of(self, calls: Iterable[Found]) -> list[Found]:
        """The selected calls. LabError for a name or a layer that no call has, and where nothing is left."""
        calls = list(calls)
        for word in self.modules:
            if not any(call.has_name(word) for call in calls):
                classes = ", ".join(sorted({call.class_name for call in calls}))
                raise LabError(f"--modules {word}: no called module has this name; there are {classes}")
        found = {call.layer for call in calls} - {None}
        if self.layers is not None and not self.layers & found:
            raise LabError(f"--layers: no such layer; the model's are 0 to {max(found, default=0)}")
        selected = [
            call
            for call in calls
            if (self.layers is None or call.layer in self.layers)
            and (not self.modules or any(call.has_name(word) for word in self.modules))
        ]
        if calls and not selected:
            raise LabError("--modules and --layers: no selected layer calls a selected module")
        return selected


ALL = Selection()


def layers(text: str) -> frozenset[int]:
    """The numbers of layers in a text such as 0-2,5. ValueError if it is not one."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        found.update(range(int(first), int(last if dash else first) + 1))
    if not found:
        raise ValueError(text)
    return frozenset(found)
