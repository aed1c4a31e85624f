"""The exports, read back by the tools that they are for."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import libcachesim
import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tests.server.conftest import mini_server
from tests.traces.exports.conftest import BLOCKS, HASHED
from vllm_lab.data.reader import Reader
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.traces.formats import IMPORTS
from vllm_lab.traces.prefix_tree import StreamOrder
from vllm_lab.traces.trace import Trace

ROOT = Path(__file__).parents[3]


def sharing(trace: Trace, *, partial: bool = True) -> Sharing:
    size = trace.block_tokens if trace.unit == "block" else BLOCKS
    return Sharing.of(trace, StreamOrder.of(trace), size, partial=partial)


@pytest.fixture(scope="module")
def tokenizer(model_dir) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(model_dir)


def vllm_dataset(name: str, path, **options):
    datasets = pytest.importorskip("vllm.benchmarks.datasets.datasets")
    return getattr(datasets, name)(dataset_path=str(path), **options)


def timed_trace(path, block_tokens: int):
    labels = ("timestamp", "input_length", "output_length", "hash_ids")
    return vllm_dataset(
        "TimedTrace", path, timed_trace_chunk_hash_size=block_tokens, timed_trace_sec_multiplier=0.001,
        **{f"timed_trace_label_{label}": label for label in labels},
    )  # fmt: skip


def test_vllms_timed_trace_has_the_lengths_times_and_sharing_of_the_trace(exported, tokenizer):
    trace = exported.trace()
    samples = timed_trace(exported.path("mooncake"), BLOCKS).sample(tokenizer, num_requests=len(trace))
    assert [sample.prompt_len for sample in samples] == trace.prompt_tokens.tolist()
    assert [sample.expected_output_len for sample in samples] == trace.output_tokens.tolist()
    times = [sample.timestamp for sample in samples]
    assert times == pytest.approx(trace.arrival_time.tolist(), abs=0.00051)
    assert times == sorted(times)
    drawn = Trace.from_requests([sample.prompt for sample in samples], [[0]] * len(samples), times)
    assert sharing(drawn).shared_blocks.tolist() == sharing(trace).shared_blocks.tolist()


# The command `vllm bench serve`, which the CPU build cannot run: it looks for a distribution of another name.
BENCH_SERVE = """
import sys
from pathlib import Path
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args(sys.argv[1:]))
"""
SOME = 5  # requests
TIMED = "timed_trace --timed-trace-sec-multiplier 0.001"


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ("mooncake", f"{TIMED} --timed-trace-chunk-hash-size {BLOCKS}"),
        ("custom", "custom --custom-output-len -1 --skip-chat-template --disable-shuffle --no-oversample"),
    ],
)
def test_vllms_serving_benchmark_sends_the_file_to_a_running_server(
    exported, model_dir, tmp_path, format, words
):
    pytest.importorskip("vllm.benchmarks.serve")
    with mini_server("--tokenizer", str(model_dir), "--model", "mini", "--num-blocks", "4000") as url:
        given = f"--backend openai --base-url {url} --model mini --tokenizer {model_dir} --num-prompts {SOME}"
        saved = f"--save-result --result-dir {tmp_path} --result-filename found.json --disable-tqdm"
        command = f"{given} --dataset-path {exported.path(format)} --dataset-name {words} {saved}"
        done = subprocess.run(
            [sys.executable, "-c", BENCH_SERVE, *command.split()], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    found, trace = json.loads((tmp_path / "found.json").read_text()), exported.trace()
    assert (found["completed"], found["failed"]) == (SOME, 0)
    assert found["total_input_tokens"] == trace.prompt_tokens[:SOME].sum()
    assert found["total_output_tokens"] == trace.output_tokens[:SOME].sum()


def test_the_importer_reads_the_same_blocks(exported):
    trace, back = exported.trace(), IMPORTS["mooncake"].read(exported.path("mooncake"), BLOCKS)
    assert back.prompt_tokens.tolist() == trace.prompt_tokens.tolist()
    one, other = sharing(trace), sharing(back, partial=False)
    assert other.shared_blocks.tolist() == one.shared_blocks.tolist()
    assert other.prompt_blocks.tolist() == one.prompt_blocks.tolist()
    assert one.shared_blocks.any()


def test_equal_prompts_alone_share_a_partial_last_block(exported):
    """As long a beginning as tokens have it, rounded up where the whole prompt is equal."""
    trace, back = exported.trace(), IMPORTS["mooncake"].read(exported.path("mooncake"), BLOCKS)
    seen, whole = set(), []
    for row in range(len(trace)):
        prompt = trace.prompt(row).tobytes()
        whole.append(prompt in seen)
        seen.add(prompt)
    equal = np.array(whole)
    assert equal.any()
    found = sharing(back)
    assert (found.shared_blocks == found.prompt_blocks)[equal].all()
    assert (found.shared_blocks == sharing(trace).shared_blocks)[~equal].all()


def test_a_trace_of_blocks_keeps_its_lengths_times_and_sharing(exported):
    trace, back = exported.trace("hashed"), IMPORTS["mooncake"].read(exported.path("mooncake", "hashed"))
    assert back.arrival_time.tolist() == trace.arrival_time.tolist()
    assert [back.prompt(row).tolist() for row in range(3)] == [[0, 1, 2], [0, 1], [0, 1, 3]]
    assert back.output_tokens.tolist() == [record["output_length"] for record in HASHED]


@pytest.mark.parametrize("name", ["multi_turn", "hashed"])
def test_libcachesims_unbounded_lru_hits_as_often_as_the_analysis_says(exported, name):
    fields = libcachesim.ReaderInitParam()
    fields.time_field, fields.obj_id_field, fields.obj_size_field = 1, 2, 3
    fields.delimiter, fields.has_header, fields.has_header_set = ",", True, True
    fields.ignore_obj_size = fields.obj_id_is_num = fields.obj_id_is_num_set = True
    path = str(exported.path("libcachesim", name))
    found = sharing(exported.trace(name))
    cache = libcachesim.LRU(cache_size=1_000_000)
    misses, _ = cache.process_trace(libcachesim.TraceReader(path, libcachesim.TraceType.CSV_TRACE, fields))
    assert 1 - misses == pytest.approx(found.shared_blocks.sum() / found.prompt_blocks.sum())
    assert found.shared_blocks.any()


def test_aiperfs_hit_rate_is_that_of_the_analysis(exported, tmp_path):
    aiperf = shutil.which("aiperf", path=ROOT / ".venv-aiperf" / "bin")
    assert aiperf, "AIPerf needs an environment of its own: run make aiperf"
    for name, size in (("multi_turn", BLOCKS), ("hashed", 512)):
        report = tmp_path / f"{name}.json"
        path = exported.path("mooncake", name)
        subprocess.run(
            [aiperf, "analyze-trace", path, "--block-size", str(size), "--output-file", report],
            check=True, capture_output=True,
        )  # fmt: skip
        found = sharing(IMPORTS["mooncake"].read(path, size))
        reported = json.loads(report.read_text())["cache_hit_rate"]
        assert reported == pytest.approx(np.mean(found.shared_blocks / found.prompt_blocks))


def test_vllms_custom_dataset_has_the_prompts_in_the_order_of_the_trace(exported, tokenizer):
    trace = exported.trace()
    dataset = vllm_dataset("CustomDataset", exported.path("custom"), disable_shuffle=True)
    samples = dataset.sample(
        tokenizer, num_requests=len(trace), output_len=-1, skip_chat_template=True, no_oversample=True
    )
    assert [sample.expected_output_len for sample in samples] == trace.output_tokens.tolist()
    assert [sample.prompt for sample in samples] == [
        tokenizer.decode(trace.prompt(row).tolist()) for row in range(len(trace))
    ]


def test_vllms_sharegpt_dataset_has_the_first_two_messages(exported, tokenizer):
    written = json.loads(exported.path("sharegpt").read_text())
    dataset = vllm_dataset("ShareGPTDataset", exported.path("sharegpt"), disable_shuffle=True)
    samples = dataset.sample(tokenizer, num_requests=len(written), no_oversample=True)
    pairs = [entry["conversations"][:2] for entry in written if len(entry["conversations"]) >= 2]
    assert [sample.prompt for sample in samples] == [pair[0]["value"] for pair in pairs]


def test_the_reader_of_conversations_takes_the_sharegpt_file(exported):
    names = list(dict.fromkeys(exported.trace().conversation_id))
    assert [record.value["id"] for record in Reader(exported.path("sharegpt"))] == names
