"""Hooks on real vLLM: what a forward calls, in which order, and that nothing of them stays behind."""

from statistics import median

import pytest

from tests.tracing.conftest import LAYERS, QUESTION, QWEN3
from vllm_lab.common.errors import LabError
from vllm_lab.engines.engine import Engine
from vllm_lab.tracing.calls import described, layer_path, traced
from vllm_lab.tracing.documents import Question, generate, generate_traced
from vllm_lab.tracing.modules import Selection, check, layer_of, layers, named

KINDS = {
    "norm": 4 * LAYERS + 1,
    "attention": LAYERS,
    "rotary": LAYERS,
    "activation": LAYERS,
    "linear": 4 * LAYERS,
    "embedding": 1,
    "logits": 1,
    "sampler": 1,
}
LAYER = [
    ("model.layers.0", "Qwen3DecoderLayer"),
    ("model.layers.0.input_layernorm", "RMSNorm"),
    ("model.layers.0.self_attn", "Qwen3Attention"),
    ("model.layers.0.self_attn.qkv_proj", "QKVParallelLinear"),
    ("model.layers.0.self_attn.q_norm", "RMSNorm"),
    ("model.layers.0.self_attn.k_norm", "RMSNorm"),
    ("model.layers.0.self_attn.rotary_emb", "RotaryEmbedding"),
    ("model.layers.0.self_attn.attn", "Attention"),
    ("model.layers.0.self_attn.o_proj", "RowParallelLinear"),
    ("model.layers.0.post_attention_layernorm", "RMSNorm"),
    ("model.layers.0.mlp", "Qwen2MLP"),
    ("model.layers.0.mlp.gate_up_proj", "MergedColumnParallelLinear"),
    ("model.layers.0.mlp.act_fn", "SiluAndMul"),
    ("model.layers.0.mlp.down_proj", "RowParallelLinear"),
]


@pytest.fixture(scope="module")
def run(engine):
    return generate_traced(engine, QUESTION, lambda: traced(engine, stacks=True))


@pytest.fixture(scope="module")
def calls(run):
    return run[1].calls


def hooks(engine: Engine) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in named(engine.modules).values()
    )


def test_every_forward_of_qwen3_makes_the_calls_that_its_configuration_asks_for(engine, calls):
    found = check(QWEN3, engine.modules, calls)
    assert found["basis"] == "config.json: Qwen3ForCausalLM"
    assert {row["kind"]: row["calls"] for row in found["kinds"]} == KINDS
    assert all(row["counted"] == [row["calls"]] * QUESTION.max_tokens for row in found["kinds"])
    assert found["findings"] == []


def test_every_silent_module_is_explained(engine, calls):
    silent = {row["class"]: row["reason"] for row in check(QWEN3, engine.modules, calls)["silent"]}
    assert silent.keys() >= {"Qwen3Model", "ModuleList", "ParallelLMHead"}
    assert all(silent.values())


def test_calls_that_the_configuration_does_not_ask_for_are_findings(engine, calls):
    larger = QWEN3 | {"num_hidden_layers": LAYERS + 1}
    (first, *others) = check(larger, engine.modules, calls)["findings"]
    assert first.startswith("norm: expected 17 calls in each forward (4 x 4 layers + 1")
    assert len(others) == 4  # attention, rotary, activation, linear


def test_a_module_whose_calls_are_missing_is_a_finding(engine, calls):
    missing = "model.layers.1.mlp.act_fn"
    without = [call for call in calls if call.place != missing]
    findings = check(QWEN3, engine.modules, without)["findings"]
    assert findings == [
        "activation: expected 3 calls in each forward (3 layers), counted [2, 2, 2, 2]",
        f"{missing} (SiluAndMul) was never called, and why is not known",
    ]


def test_the_first_layer_has_its_calls_in_order_with_the_prompts_shapes_and_a_tokens(calls):
    path = layer_path(calls)
    assert [(row["module"], row["class"]) for row in path] == LAYER
    for row in path:
        assert row["module"].count(".") - 2 == row["depth"]
    projection = path[3]
    assert projection["prefill"]["inputs"] == [{"name": "", "dtype": "bfloat16", "shape": [7, 128]}]
    assert projection["decode"]["outputs"] == [{"name": "", "dtype": "bfloat16", "shape": [1, 256]}]
    assert [tensor["name"] for tensor in path[2]["prefill"]["inputs"]] == ["positions", "hidden_states"]


def test_a_module_that_layers_share_has_the_place_it_was_called_from(calls):
    rotary = [call for call in calls if call.kind == "rotary" and call.forward == 0]
    assert [call.place for call in rotary] == [
        f"model.layers.{layer}.self_attn.rotary_emb" for layer in range(LAYERS)
    ]


def test_own_times_add_up_to_the_models(calls):
    assert all(call.seconds > 0 for call in calls)
    model = [call for call in calls if call.class_name == "Qwen3ForCausalLM"]
    inside = [call for call in calls if call.depth > 0 or call in model]
    assert sum(call.self_seconds for call in inside) == pytest.approx(sum(call.seconds for call in model))


def test_a_call_stack_leads_from_the_engine_to_the_line_that_called(calls):
    attention = next(call for call in calls if call.class_name == "Attention")
    files = [file for file, _, _ in attention.stack]
    assert files[0] == "vllm/v1/engine/llm_engine.py"
    assert attention.stack[-1][::2] == ("vllm/model_executor/models/qwen3.py", "Qwen3Attention.forward")
    assert not [file for file in files if file.startswith(("torch/", "/"))]


def test_tracing_changes_no_answer_and_its_cost_is_known(run):
    answers, runs, costs = run[0], run[0].runs, run[0].costs()
    first, *others = (answer.tokens for answer in answers.all)
    assert len(first) == QUESTION.max_tokens
    assert others == [first] * (2 * QUESTION.repeats - 1)
    assert len(runs) == QUESTION.repeats
    assert all(pair.values.keys() == {"plain_seconds", "traced_seconds"} for pair in runs)
    assert costs["added"] == pytest.approx(costs["traced_seconds"] / costs["plain_seconds"] - 1)
    for name in ("plain_seconds", "traced_seconds"):
        assert costs[name] == pytest.approx(median(pair.values[name] for pair in runs if pair.used))


def test_the_answer_is_the_models_own(engine):
    """As greedy as before, so a prompt that goes on with the answer's beginning is answered with its rest."""
    whole = generate(engine, QUESTION).tokens
    longer = Question("", QUESTION.prompt + whole[:2], 2, 1)
    assert generate(engine, longer).tokens == whole[2:]


def test_no_hook_stays_behind(engine):
    before = hooks(engine)
    with traced(engine) as tracer:
        assert hooks(engine) == before + 2 * len(named(engine.modules))
        generate(engine, QUESTION)
    assert hooks(engine) == before
    with pytest.raises(KeyboardInterrupt), traced(engine):
        raise KeyboardInterrupt
    assert hooks(engine) == before
    seen = len(tracer.calls)
    generate(engine, QUESTION)
    assert len(tracer.calls) == seen


def test_a_question_longer_than_the_engines_memory_is_refused(engine):
    with pytest.raises(LabError, match="shorter prompt"):
        generate_traced(engine, Question("", [1] * 4000, 4, 1), lambda: traced(engine))


@pytest.mark.parametrize(
    ("selection", "classes"),
    [
        (Selection(("MLP",)), {"Qwen2MLP"}),
        (Selection(("Attention", "Sampler")), {"Attention", "Qwen3Attention", "Sampler"}),
        (Selection(("model.layers.*.mlp.*_proj",)), {"MergedColumnParallelLinear", "RowParallelLinear"}),
        (Selection(("Rotary",), layers("1-2")), {"RotaryEmbedding"}),
    ],
)  # fmt: skip
def test_modules_are_selected_by_class_by_path_and_by_layer(calls, selection, classes):
    found = selection.of(calls)
    assert {call.class_name for call in found} == classes
    if selection.layers:
        assert {call.layer for call in found} == {1, 2}


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(("Convolution",)), "Qwen3Attention"),
        (Selection((), layers("7")), "0 to 2"),
        (Selection(("Sampler",), layers("0")), "no selected layer calls a selected module"),
    ],
)
def test_a_selection_of_nothing_says_what_there_is(calls, selection, words):
    with pytest.raises(LabError, match=words):
        selection.of(calls)


def test_layers_are_numbers_and_ranges():
    assert layers("0-2,5") == {0, 1, 2, 5}
    for text in ("", "a", "1-", "3-1"):
        with pytest.raises(ValueError):
            layers(text)


def test_the_layer_is_the_number_in_a_dotted_name():
    assert [layer_of(name) for name in ("model.layers.12.mlp", "model.norm", "h.3")] == [12, None, 3]


def test_tensors_are_found_inside_of_what_is_passed():
    import numpy as np

    value = {"a": [np.zeros((2, 3), "int8"), None], "b": (4, np.zeros(1))}
    assert described(value) == [("a", "int8", (2, 3)), ("b", "float64", (1,))]
