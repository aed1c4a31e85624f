"""Which part a module of vLLM's models plays, whatever the model is called."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

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
NEVER_CALLED = {"ParallelLMHead"}  # an embedding by inheritance; see expected.silence


def kind_of(module: Any) -> str | None:
    """The part a torch module plays: a key of KINDS, `activation`, or None."""
    ancestors = {ancestor.__name__ for ancestor in type(module).__mro__}
    if ancestors & NEVER_CALLED:
        return None
    if type(module).__module__ in ACTIVATIONS:
        return "activation"
    return next((kind for kind, classes in KINDS.items() if ancestors & classes), None)


def source_of(module: Any) -> str:
    """The file that defines the module's class, as imports spell it: vllm/model_executor/layers/linear.py."""
    return f"{type(module).__module__.replace('.', '/')}.py"


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

    One that several layers share stands under its first name only, unless duplicates are kept.
    """
    return {
        name: module
        for prefix, root in roots.items()
        for name, module in root.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
    }
