"""Names of kernels -> classes and source files, compared with vLLM's sources.

kernels_0_32_0.csv: `__global__` functions of the C++ files that kernels.yaml names, as written in the
source distribution of vLLM 0.32.0 (the installed package has only its Python); no class where none fits.
"""

import csv
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from vllm_lab.tracing import kernels
from vllm_lab.tracing.kernels import table
from vllm_lab.tracing.modules import KINDS

RECORDED = list(csv.DictReader(Path(__file__).with_name("kernels_0_32_0.csv").open(encoding="utf-8")))
TABLE = Path(kernels.__file__).with_name("kernels.yaml")
ENTRIES = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["kernels"]

# As profilers print them: return type, namespaces, template arguments.
PRINTED = {
    "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(c10::BFloat16*, c10::BFloat16 const*, long)": "norm",
    "std::enable_if<(8>(0)) && vllm::_typeConvert<c10::BFloat16>::exists, void>::type "
    "vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long, c10::BFloat16*)": "norm",
    "void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*, int)": "rotary",
    "void vllm::act_and_mul_kernel<c10::BFloat16, &(c10::BFloat16 vllm::silu_kernel<c10::BFloat16>("
    "c10::BFloat16 const&)), true>(c10::BFloat16*, c10::BFloat16 const*, int)": "activation",
    "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>("
    "__nv_bfloat16 const*)": "cache_write",
    "void flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4>, true>("
    "flash::Flash_fwd_params)": "attention",
    "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<"
    "flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1>>, cutlass::gemm::GemmShape>>>>("
    "flash::Params)": "attention",
    "void flash::prepare_varlen_num_blocks_kernel<1, true>(int, int)": "attention",
    "kernel_cutlass_kernel_vllmvllm_flash_attncuteflash_fwd_sm100FlashAttentionForwardSm100_0": "attention",
    "void flashinfer::BatchDecodeWithPagedKVCacheKernel<(flashinfer::PosEncodingMode)0, 2u>()": "attention",
    "fmhaSm100fKernel_QkvBfloat16OBfloat16H128PagedKvCausalP64VarSeq": "attention",
    "kernel_unified_attention": "attention",
    "reshape_and_cache_kernel_flash": "cache_write",
    "nvjet_tst_128x64_64x8_2x1_v_bz_TNT": "gemm",
    "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x64x64_warpgroupsize1x1x1": "gemm",
    "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x4_tn": "gemm",
    "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_64x64_32x6_tn_align8>()": "gemm",
    "void gemv2T_kernel_val<int, int, __nv_bfloat16, __nv_bfloat16, float, 128, 16>(int)": "gemm",
    "void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16, float>(float)": "gemm",
    "void marlin::Marlin<c10::BFloat16, 1125899906909960l, 256, 1, 8, 8, true>(int4 const*)": "gemm",
    "triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0": "norm",
    "triton_poi_fused_mul_silu_slice_1": "activation",
    "triton_red_fused_argmax_0": "sampling",
    "_gumbel_sample_kernel": "sampling",
    "_topk_topp_kernel": "sampling",
    "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, ArgMaxOps<float>>>()": "sampling",
    "void flashinfer::sampling::TopKTopPSamplingFromProbKernel<1024u, float, int>(float*)": "sampling",
    "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)": "communication",
    "_compute_slot_mappings_kernel": "inputs",
    "Memcpy DtoD (Device -> Device)": "copy",
    "Memset (Device)": "copy",
    "_C::onednn_mm": "gemm",
    "_C::cpu_attention_with_kv_cache": "attention",
    "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int>>(int)": None,
    "aten::mul": None,
    "triton_poi_fused_add_mul_2": None,
}  # fmt: skip


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row["name"])
def test_a_kernel_of_vllms_sources_is_mapped_to_the_file_that_has_it(row):
    found = table().origin(f"void vllm::{row['name']}<c10::BFloat16>(c10::BFloat16*, int)")
    found = (found.kernel_class, found.source) if found else ("", "")
    assert found == (row["class"], row["source"])


@pytest.mark.parametrize(("name", "kernel_class"), PRINTED.items())
def test_a_name_as_profilers_print_it_has_its_class(name, kernel_class):
    found = table().origin(name)
    assert (found.kernel_class if found else None) == kernel_class


def test_every_class_is_explained_and_every_kind_of_module_has_one():
    assert {entry["class"] for entry in ENTRIES} | {"other"} == table().classes.keys()
    assert table().modules.keys() == KINDS.keys() | {"activation"}
    assert set(table().modules.values()) <= table().classes.keys()


def test_every_cuda_source_named_has_a_recorded_kernel():
    named = {entry["source"] for entry in ENTRIES if re.search(r"\.cuh?\b|\.h$", entry["source"])}
    assert named <= {row["source"] for row in RECORDED}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry['class']}, {entry['text']}")
def test_the_installed_vllm_holds_what_the_table_says(entry):
    """The source itself where it is Python, else the place that launches the kernel."""
    vllm = pytest.importorskip("vllm")
    assert vllm.__version__ == table().version, "the table was read from another version: read it again"
    package = Path(find_spec("vllm").origin).parent.parent
    seen_in = package / entry.get("seen_in", entry["source"])
    assert entry["text"] in seen_in.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("pattern", "function"),
    [
        (entry["kernel"], found[1])
        for entry in ENTRIES
        if "seen_in" not in entry and (found := re.fullmatch(r"def (\w+)\(", entry["text"]))
    ],
)
def test_a_triton_kernels_or_operators_pattern_fits_the_function_that_defines_it(pattern, function):
    assert any(re.search(pattern, f"{namespace}{function}") for namespace in ("", "vllm::", "vllm_ir::"))
