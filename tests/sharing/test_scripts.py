"""The scripts: what they write, and that they write the same bytes again."""

import json

import pytest
import sharing_analysis as sharing
import sharing_figures
import sharing_published
import sharing_reference as reference
import sharing_sweep as sweep
import sharing_sweep_figures as sweep_figures
import sharing_sweep_table as sweep_table

from tests.sharing.small_traces import make_trace
from vllm_lab.common.errors import LabError
from vllm_lab.common.figure_names import FIGURES
from vllm_lab.common.files import read_json
from vllm_lab.sharing import figures
from vllm_lab.sharing.metrics import read_sweep
from vllm_lab.sharing.published import mooncake_comparison

TABLES = ("stats", "requests", "blocks", "reuse-gaps", "working-set")


@pytest.fixture
def token_trace(tmp_path):
    streams = [[*range(40), 99], [*range(20), *range(50, 80), 99], [*range(90, 120), 99]]
    rows = [(0, 20, 1, 0.0), (0, 40, 1, 1.0), (1, 50, 1, 30.0), (2, 30, 1, 200.0), (1, 50, 1, 300.0)]
    path = tmp_path / "multi_turn_trace.parquet"
    make_trace(streams, rows).write(path)
    return path


@pytest.fixture
def block_trace(tmp_path):
    path = tmp_path / "mooncake_conversation_trace.parquet"
    rows = [(0, 1100, 1, 0.0), (1, 1500, 1, 5.0), (0, 1100, 1, 9.0)]
    make_trace([[0, 1, 2], [0, 1, 3]], rows, mode="imported", unit="block", block_tokens=512).write(path)
    return path


def run_sharing(trace, folder, *more):
    files = {table: folder / f"{trace.stem}-{table}" for table in TABLES}
    flags = [part for table, path in files.items() for part in (f"--{table}", str(path))]
    sharing.main(["--trace", str(trace), "--block-size", "16", "--windows", "60", *flags, *more])
    return files


def test_sharing_writes_what_its_statistics_promise(token_trace, tmp_path):
    summary = tmp_path / "summary.json"
    summary.write_text('{"kv_bytes_per_token": 100}')
    files = run_sharing(token_trace, tmp_path, "--block-sizes", "8", "32", "--model-summary", str(summary))
    stats = read_json(files["stats"])
    assert (stats["trace"], stats["unit"], stats["requests"]) == ("multi_turn", "token", 5)
    assert sorted(stats["by_block_size"]) == ["16", "32", "8"]
    assert stats["metrics"] == stats["by_block_size"]["16"]
    assert stats["metrics"]["saved_kv_bytes"] == 100 * stats["metrics"]["saved_prefill_tokens"] > 0
    assert sorted(stats["metrics"]["working_set"]) == ["60", "inf"]
    assert files["requests"].read_text().splitlines()[2] == "c0-1,c0,1,1.0,40,1,0.4,0.5,20"


def test_a_model_summary_without_the_kv_size_is_refused(token_trace, tmp_path):
    summary = tmp_path / "summary.json"
    summary.write_text("{}")
    with pytest.raises(LabError, match=r"summary\.json: kv_bytes_per_token is None"):
        run_sharing(token_trace, tmp_path, "--model-summary", str(summary))


def sweep_to(path, trace, *flags):
    sweep.main(["--trace", str(trace), *flags, "--output", str(path)])
    return path


def test_sweeps_join_into_one_table_and_figures(token_trace, block_trace, tmp_path):
    capacities = ["--capacities-tokens", "512", "1024", "--block-sizes", "8", "16"]
    first = sweep_to(tmp_path / "a.csv", token_trace, *capacities)
    second = sweep_to(
        tmp_path / "b.csv", block_trace, "--capacities-blocks", "2", "--policies", "lru", "belady"
    )
    table = tmp_path / "hit_rates.csv"
    sweep_table.main(["--sweep", str(first), str(second), "--output", str(table)])
    rows = read_sweep(table)
    assert rows == read_sweep(first) + read_sweep(second)
    assert [row["block_hits"] for row in rows[-4:]] == ["4", "5"] * 2
    folder = tmp_path / "figures"
    sweep_figures.main(["--table", str(table), "--block-size", "16", "--outdir", str(folder)])
    assert {path.stem for path in folder.iterdir()} == set(FIGURES["sharing/sweeps"])
    assert (folder / "hit_rate_curves.svg").stat().st_size > 10_000
    assert (folder / "hit_rate_heatmap.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_no_sweep_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LabError, match=r"x\.csv: columns are \['a', 'b'\]"):
        read_sweep(tmp_path / "x.csv")


def test_figures_have_the_same_bytes_again(token_trace, block_trace, tmp_path):
    flags = []
    for name, trace in (("multi_turn", token_trace), ("mooncake_conversation", block_trace)):
        flags += ["--trace", name, *map(str, run_sharing(trace, tmp_path).values())]
    for folder in ("one", "two"):
        sharing_figures.main([*flags, "--outdir", str(tmp_path / folder)])
    drawn = {path.name for path in (tmp_path / "one").iterdir()}
    assert drawn == {f"{name}.{kind}" for name in FIGURES["sharing"] for kind in ("png", "svg")}
    for name in FIGURES["sharing"]:
        for kind in ("png", "svg"):
            one, two = (tmp_path / folder / f"{name}.{kind}" for folder in ("one", "two"))
            assert one.read_bytes() == two.read_bytes()


def test_every_trace_is_drawn_although_the_colours_repeat(token_trace, tmp_path):
    tables = [str(path) for path in run_sharing(token_trace, tmp_path).values()]
    traces = [figures.TraceTables.read(f"trace_{number}", *tables) for number in range(9)]
    figures.block_hit_distribution(traces, tmp_path / "hits")
    assert (tmp_path / "hits.svg").read_text().count("<!-- trace ") == 9


def test_mooncakes_table_is_compared_where_the_capacity_was_swept(block_trace, tmp_path):
    swept = sweep_to(tmp_path / "a.csv", block_trace, "--capacities-blocks", "1000")
    stats, output = run_sharing(block_trace, tmp_path)["stats"], tmp_path / "published.json"
    sharing_published.main(["--sweep", str(swept), "--stats", str(stats), "--output", str(output)])
    found = json.loads(output.read_text())
    ours = {(row["policy"], row["capacity_blocks"]): row["ours"] for row in found["table_1"]["rows"]}
    assert ours["lru", "1000"] == ours["lru", "inf"] == pytest.approx(5 / 9)
    assert ours["lfu", "50000"] is None
    readings = {row["reading"]: row["ours"] for row in found["cache_ratio"]["readings"]}
    assert readings["block hits / block accesses, full blocks only"] == pytest.approx(4 / 6)


def test_the_note_on_mooncakes_table_computes_its_numbers_from_the_trace(block_trace, tmp_path):
    swept = sweep_to(
        tmp_path / "a.csv", block_trace, "--capacities-blocks", "3", "4", "1000", "--policies", "lru"
    )
    stats = read_json(run_sharing(block_trace, tmp_path)["stats"])
    note = mooncake_comparison(read_sweep(swept), stats)["table_1"]["note"]
    assert "23,608 requests; the trace used here has 3." in note
    assert "0.51 of the block accesses there and at most 0.67 here" in note
    assert "A cache of 1,000 blocks hits 30% there and 56% here." in note
    assert "the most popular block makes 33.3% of the accesses" in note
    assert "two accesses of a block is 5 s" in note
    assert "90% of the hits of an unbounded cache need at most 4 blocks" in note


def test_reference_refuses_settings_that_cannot_be(tmp_path):
    flags = ["--streams", "s", "--tokens-summary", "t", "--output", "o", "--csv", "c", "--samples", "0"]
    with pytest.raises(LabError, match="--samples"):
        reference.main(flags)
