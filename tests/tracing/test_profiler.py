"""Kernels of a GPU, launched one by one or replayed by a graph: events as PyTorch's profiler gives them."""

from types import SimpleNamespace

import pytest

from vllm_lab.common.errors import Unavailable
from vllm_lab.tracing.kernels import Origin, Profile, Scope
from vllm_lab.tracing.modules import ALL, Selection

RMS = "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(c10::BFloat16*)"
ELEMENTWISE = "void at::native::vectorized_elementwise_kernel<4, MulFunctor<float>>(int)"
NORM = Origin("norm", "vllm/model_executor/layers/layernorm.py", "module")
SCOPES = {
    scope.name: scope
    for scope in (
        Scope("RMSNorm", "model.norm", NORM),
        Scope("LlamaDecoderLayer", "model.layers.0", None),
        Scope("LlamaDecoderLayer", "model.layers.1", None),
    )
}


@pytest.fixture
def make():
    """event(name, start, end, **more): an event in µs; on the device, if it says so."""
    util = pytest.importorskip("torch.autograd.profiler_util")
    kinds = pytest.importorskip("torch.autograd").DeviceType

    def event(name: str, start: float, end: float, on_device: bool = False, **more):
        kind = kinds.CUDA if on_device else kinds.CPU
        return util.FunctionEvent(0, name, 1, start, end, device_type=kind, **more)

    return event


def rows(
    events: list, on_device: bool = True, selection: Selection = ALL
) -> dict[tuple[str, str], tuple[int, float]]:
    profile = Profile(SimpleNamespace(events=lambda: events), on_device, SCOPES)
    return {
        (row["name"], row["class"]): (row["calls"], pytest.approx(row["seconds"]))
        for row in profile.rows(selection)
    }


def test_kernels_that_a_graph_replays_are_counted_by_their_names(make):
    events = [make("cudaGraphLaunch", 0, 5)]
    events += [make(RMS, 10 * number, 10 * number + 3, on_device=True) for number in range(4)]
    assert rows(events) == {(RMS, "norm"): (4, 12e-6)}


def test_a_kernel_whose_name_says_nothing_has_the_class_of_the_module_that_launched_it(make):
    module = make("RMSNorm model.norm", 0, 9, is_user_annotation=True)
    operator = make("aten::mul", 1, 4)
    operator.set_cpu_parent(module)
    operator.append_kernel(ELEMENTWISE, 0, 7)
    kernel = make(ELEMENTWISE, 5, 12, on_device=True)
    assert rows([module, operator, kernel]) == {(ELEMENTWISE, "norm"): (1, 7e-6)}


def test_of_a_selection_there_are_the_kernels_launched_within_its_modules_alone(make):
    events = []
    for layer in (0, 1):
        module = make(f"LlamaDecoderLayer model.layers.{layer}", 10 * layer, 10 * layer + 9)
        operator = make("aten::mul", 10 * layer + 1, 10 * layer + 4)
        operator.set_cpu_parent(module)
        operator.append_kernel(ELEMENTWISE, 0, 7)
        events += [module, operator, make(ELEMENTWISE, 10 * layer + 2, 10 * layer + 9, on_device=True)]
    assert rows(events) == {(ELEMENTWISE, "other"): (2, 14e-6)}
    assert rows(events, selection=Selection(layers=frozenset({1}))) == {(ELEMENTWISE, "other"): (1, 7e-6)}


def test_a_kernel_without_a_known_launch_is_other(make):
    assert rows([make(ELEMENTWISE, 0, 2, on_device=True)]) == {(ELEMENTWISE, "other"): (1, 2e-6)}


def test_annotations_are_no_kernels(make):
    shown = make("RMSNorm model.norm", 0, 9, on_device=True, is_user_annotation=True)
    kernel = make(RMS, 1, 2, on_device=True)
    assert rows([shown, kernel]) == {(RMS, "norm"): (1, 1e-6)}


def test_a_profiler_that_may_not_see_the_gpu_is_not_run(make):
    with pytest.raises(Unavailable, match="CUPTI"):
        rows([make("aten::mul", 0, 2)])


def test_an_operators_time_is_without_those_inside_and_its_class_from_what_is_around_it(make):
    module = make("RMSNorm model.norm", 0, 20, is_user_annotation=True)
    outer, inner = make("aten::to", 1, 11), make("aten::copy_", 2, 6)
    outer.set_cpu_parent(module)
    inner.set_cpu_parent(outer)
    outer.append_cpu_child(inner)
    found = rows([module, outer, inner, make("aten::to", 30, 31)], on_device=False)
    assert found == {
        ("aten::to", "norm"): (1, 6e-6),
        ("aten::copy_", "norm"): (1, 4e-6),
        ("aten::to", "other"): (1, 1e-6),
    }
