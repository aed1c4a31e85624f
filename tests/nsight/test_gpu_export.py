"""A capture with a GPU: every number of it can be worked out by hand from gpu_export.sql."""

from pathlib import Path

import pytest

from tests.nsight.exports import change, document_of, export_of, metrics_of
from vllm_lab.common.errors import LabError

GPU_TABLES = ("KERNEL", "MEMCPY", "RUNTIME")


@pytest.fixture
def export(tmp_path) -> Path:
    return export_of("gpu_export", tmp_path)


def found(export: Path) -> dict:
    return document_of(export, "cuda")


def test_every_metric_is_what_the_hand_computes(export):
    document = found(export)
    expected = {
        "captured_steps": 3,  # the fourth scheduled nothing
        "step_mean": 1e-3,
        "step_p50": 1e-3,
        "schedule_mean": 50e-6 / 3,
        "decode_step_p50": 1e-3,
        "prefill_step_p50": 1e-3,
        "decode_schedule_share": 0.02,
        "decode_forward_share": 0.5,
        "decode_logits_share": 0.1,
        "decode_sample_share": 0.05,
        "decode_update_share": 0.025,
        "decode_other_share": 0.305,
        "decode_attention_range_share": None,
        "decode_linear_range_share": None,
        "os_calls_per_step": 1 / 3,  # one is nested, one another thread's, one between the steps
        "os_time_share": 30 / 3000,
        "gpu_busy_share": (500 + 450 + 420) / 5000,
        "decode_gpu_busy_share": (450 + 420) / 2000,  # two kernels overlap; copies count
        "decode_kernels_per_step": 2.5,
        "decode_attention_kernel_share": 200 / 900,
        "decode_gemm_kernel_share": 600 / 900,
        "decode_launch_gap_mean": (50 + 0 + 200) * 1e-6 / 3,
        "launch_call_mean": (6 + 4 + 20) * 1e-6 / 3,
        "copy_share": 20 / 1370,
        "copied_bytes": 60000,
        "copy_bandwidth": 60000 / 20e-6 / 1e9,
    }
    assert metrics_of(document) == {name: value and pytest.approx(value) for name, value in expected.items()}
    assert set(document["absent"]) == {"decode_attention_range_share", "decode_linear_range_share"}


def test_kernels_are_grouped_by_name_and_class_the_largest_first(export):
    document = found(export)
    assert [(row["name"], row["count"]) for row in document["kernel_classes"]] == [
        ("gemm", 3), ("attention", 2), ("norm", 1)
    ]  # fmt: skip
    assert document["kernel_classes"][0]["share"] == pytest.approx(1100 / 1400)
    assert document["kernels"][0]["name"].startswith("nvjet")
    assert sum(row["share"] for row in document["kernels"]) == pytest.approx(1)


def test_copies_are_listed_by_kind_with_the_bandwidth_reached(export):
    by_kind = {row["kind"]: row for row in found(export)["copies"]}
    assert by_kind["Host-to-Device"]["gb_per_s"] == pytest.approx(4)
    assert by_kind["Device-to-Host"]["bytes"] == 20000


def test_each_step_has_its_cpu_and_gpu_seconds(export):
    steps = found(export)["steps"]
    assert [step["kind"] for step in steps] == ["prefill", "decode", "decode"]
    assert [step["gpu_busy"] for step in steps] == pytest.approx([500e-6, 450e-6, 420e-6])
    assert [step["forward"] for step in steps] == pytest.approx([780e-6, 600e-6, 400e-6])


def test_the_timeline_nests_the_ranges_of_one_decode_step(export):
    spans = found(export)["timeline"]
    assert [(span["name"], span["depth"]) for span in spans[:4]] == [
        ("engine.step", 0), ("scheduler.schedule", 1), ("model.execute.decode", 1), ("model.forward", 2)
    ]  # fmt: skip


def test_vllms_layerwise_ranges_are_counted_by_module_all_layers_as_one(export):
    ranges = {row["name"]: row["count"] for row in found(export)["ranges"]}
    assert ranges["Llama.model.layers.N.mlp"] == 2


def test_a_range_without_a_name_is_left_out(export):
    """NVTX lets a library push a range that has only a payload."""
    whole = found(export)
    change(
        export,
        "INSERT INTO NVTX_EVENTS (start, end, eventType, globalTid, domainId)"
        " VALUES (3200000, 3300000, 59, 16777217, 0)",
    )
    assert found(export)["ranges"] == whole["ranges"]


def test_without_gpu_tables_the_rest_is_measured_and_each_absence_has_its_reason(export):
    whole = metrics_of(found(export))
    change(export, "".join(f"DROP TABLE CUPTI_ACTIVITY_KIND_{name};" for name in GPU_TABLES))
    document = found(export)
    for name, value in metrics_of(document).items():
        assert value == whole[name] or "CUDA was not traced" in document["absent"][name]
    assert metrics_of(document)["decode_forward_share"] == pytest.approx(0.5)
    assert "CUDA was not traced" in document["absent"]["kernels"]
    assert all(step["gpu_busy"] is None for step in document["steps"])


def test_a_run_that_copied_nothing_still_has_its_kernels(export):
    change(export, "DROP TABLE CUPTI_ACTIVITY_KIND_MEMCPY")
    document = found(export)
    assert metrics_of(document)["decode_gpu_busy_share"] == pytest.approx((450 + 400) / 2000)
    assert "no CUDA memory copy" in document["absent"]["copy_share"]


def test_without_os_calls_that_alone_is_missing(export):
    change(export, "DROP TABLE OSRT_API")
    document = found(export)
    assert metrics_of(document)["captured_steps"] == 3
    assert "OSRT_API" in document["absent"]["os_time_share"]


def test_older_columns_and_missing_enumerations_do(export):
    """Texts in place instead of by id, no nesting level, no labels of copies."""
    change(
        export,
        "UPDATE NVTX_EVENTS SET text = (SELECT value FROM StringIds WHERE id = textId), textId = NULL"
        " WHERE textId IS NOT NULL; ALTER TABLE OSRT_API DROP COLUMN nestingLevel;"
        "DROP TABLE ENUM_CUDA_MEMCPY_OPER",
    )
    document = found(export)
    assert metrics_of(document)["decode_forward_share"] == pytest.approx(0.5)
    assert metrics_of(document)["os_calls_per_step"] == pytest.approx(2 / 3)
    assert {row["kind"] for row in document["copies"]} == {"1", "2"}


def test_a_capture_whose_steps_all_were_empty_is_not_run(export):
    change(export, "UPDATE NVTX_EVENTS SET textId = 7 WHERE textId IN (2, 3)")
    assert "ran anything" in found(export)["reason"]


def test_a_column_that_an_nsys_does_not_write_is_named(export):
    change(export, "ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL DROP COLUMN shortName")
    document = found(export)
    assert "KERNEL of this nsys has no column shortName" in document["absent"]["gpu_busy_share"]
    assert metrics_of(document)["copied_bytes"] == 60000


def test_an_export_without_ranges_is_not_run(export):
    change(export, "DELETE FROM NVTX_EVENTS WHERE eventType = 59")
    document = found(export)
    assert document["status"] == "not_run"
    assert "nvtx 0.2.13 and later do not record" in document["reason"]
    assert set(metrics_of(document).values()) == {None}


def test_an_empty_file_is_an_export_without_tables(tmp_path):
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert "no NVTX range was traced" in found(empty)["reason"]


def test_what_is_no_export_is_named(tmp_path):
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database, but long enough not to look like an empty one" * 9)
    with pytest.raises(LabError, match=r"broken\.sqlite: not an export of nsys"):
        found(broken)
