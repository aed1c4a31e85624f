"""The whole report, from result files to the three renderings."""

import json
import re
import shutil

import pytest

from tests.report.documents.words import HOSTILE
from tests.report.example import example, write_report
from tests.report.page import Page
from vllm_lab.common.errors import LabError
from vllm_lab.report import html
from vllm_lab.report.blocks import Number, Section, text
from vllm_lab.report.report import compose, numbers
from vllm_lab.report.results import Results

SECTIONS = {
    "data/rejects.json": "Conversations",
    "data/model/summary.json": "Model",
    "traces/streams_summary.json": "Token streams and traces",
    "sharing/multi_turn_stats.json": "Prefix sharing",
    "sharing/sweeps/hit_rates.csv": "Cache capacity and eviction policy",
    "sharing/reference.json": "The published run beside ours",
    "sharing/mooncake_conversation_stats.json": "Other people's traces",
    "replay/comparison.json": "Four schedulers against vLLM's own",
    "experiments/exp001.verdict.json": "Experiments",
    "cost_model/fit.json": "Cost model",
    "load/load.json": "Server replay",
    "plan/code_quality.json": "Benchmarks",
    "bundles/h200/plan/cuda/prefix_cache.json": "On other hardware",
    "provenance/configuration.json": "Settings",
    "tracing/cpu/simple.json": "The path of a token through vLLM",
}


def test_the_summary_holds_exactly_the_numbers_of_the_page_with_their_values(page, summary):
    shown = {number["data-id"]: number["data-exact"] for number in page.with_class("n")}
    assert shown.keys() == summary.keys()
    for id, entry in summary.items():
        value = "no value" if entry["value"] is None else str(entry["value"])
        assert shown[id] == f"{value} {entry['unit']}".strip()
        assert entry.keys() >= {"value", "unit", "status", "file", "key", "rule", "label"}


def test_a_value_in_the_summary_is_the_value_in_the_result_file(written, summary):
    entry = summary["sharing.multi_turn.saved_prefill_fraction"]
    assert entry["key"] == "metrics.saved_prefill_fraction"
    stats = json.loads((written.parents[1] / entry["file"]).read_text())
    assert entry["value"] == stats["metrics"]["saved_prefill_fraction"]


def test_the_first_answer_stands_before_every_table(written):
    for name in ("index.html", "report.md"):
        body = (written / name).read_text(encoding="utf-8")
        question = body.index("What fraction of prefill can prefix caching save")
        assert question < body.index("Each part of this report, the kind of its numbers")


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_whose_files_are_absent_is_absent(tmp_path, name):
    without = [
        file
        for file in example(tmp_path)
        if not file.endswith(name) and not (name.startswith("sharing/mu") and "single_turn" in file)
        and not (name.startswith("sharing/mo") and "mooncake" in file)
        and not (name.startswith("tokens") and ("traces/" in file or "traces/exports/" in file))
        and not (name.startswith("bench") and "results/plan/" in file)
        and not (name.startswith("tracing") and "tracing/" in file)
        and not (name.startswith("oracle") and ("replay/" in file or "oracle/" in file))
    ]  # fmt: skip
    folder = write_report(tmp_path, without)
    for rendering in ("index.html", "report.md"):
        body = (folder / rendering).read_text(encoding="utf-8")
        headings = re.findall(r"(?:<h2[^>]*>|^## )([^<\n]+)", body, flags=re.M)
        titles = [heading.replace("&#39;", "'") for heading in headings]
        assert SECTIONS[name] not in titles
        assert set(SECTIONS.values()) - {SECTIONS[name]} <= set(titles)


def test_each_part_alone_makes_a_report(tmp_path):
    for index, file in enumerate(example(tmp_path / "all")):
        if file.endswith(".svg") or (
            re.search(r"experiments/\w+\.\w+\.json$", file) and "verdict" not in file
        ):
            continue  # a figure, and a run without its experiment's verdicts, are no part of their own
        root = tmp_path / str(index)
        shutil.copytree(tmp_path / "all", root)
        assert (write_report(root, [file]) / "index.html").stat().st_size > 10_000


def test_text_from_the_data_is_never_markup(written, page):
    body = (written / "index.html").read_text(encoding="utf-8")
    assert HOSTILE not in body
    assert HOSTILE in page.text
    assert body.count("<script>") == body.count("</style>") == 1
    markdown = (written / "report.md").read_text(encoding="utf-8")
    lines = [line for line in markdown.splitlines() if "alert" in line]
    assert lines
    for line in lines:
        outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
        assert not re.search(r"(?<!\\)<script", outside_code)
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_the_same_results_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_report(tmp_path / name, example(tmp_path / name))
    for file in ("index.html", "report.md", "summary.json"):
        first, second = ((tmp_path / name / "results/report" / file).read_bytes() for name in ("a", "b"))
        assert first == second


def test_only_the_page_says_when_and_where_it_ran(tmp_path):
    one = write_report(tmp_path / "a", example(tmp_path / "a"))
    other = write_report(
        tmp_path / "b", example(tmp_path / "b", host="elsewhere", started="2026-05-06T07:08:09+00:00")
    )
    assert "elsewhere" in (other / "index.html").read_text(encoding="utf-8")
    for file in ("report.md", "summary.json"):
        assert (one / file).read_bytes() == (other / file).read_bytes()


def test_the_order_of_the_inputs_does_not_matter(tmp_path, written):
    files = example(tmp_path)
    folder = write_report(tmp_path, [*reversed(files), *files])
    assert (folder / "index.html").read_bytes() == (written / "index.html").read_bytes()


def test_a_changed_byte_is_refused_and_named(tmp_path):
    files = example(tmp_path)
    changed = tmp_path / "results/sharing/multi_turn_stats.json"
    changed.write_bytes(changed.read_bytes().replace(b"0.5634382320328695", b"0.6634382320328695"))
    with pytest.raises(LabError, match=r"results/sharing/multi_turn_stats\.json: changed") as refused:
        write_report(tmp_path, files)
    assert "snakemake --cores 1" in str(refused.value)
    assert not (tmp_path / "results/report").exists()


def test_a_changed_byte_upstream_of_the_inputs_is_refused_too(tmp_path):
    files = example(tmp_path)
    (tmp_path / "results/data/sharegpt.json").write_text("[1]")
    with pytest.raises(LabError, match=r"results/data/sharegpt\.json: changed"):
        write_report(tmp_path, files)


def test_a_result_without_a_document_is_refused(tmp_path):
    files = example(tmp_path)
    (tmp_path / "results/data/model/model.prov.json").unlink()
    with pytest.raises(LabError, match=r"results/data/model/summary\.json: uncovered"):
        write_report(tmp_path, files)


def test_a_missing_key_is_named_with_its_file(tmp_path):
    files = example(tmp_path)
    results = Results(tmp_path, files)
    with pytest.raises(LabError, match=r"results/data/model/summary\.json: no key wings"):
        results.json("data/model/summary.json").value("wings")


def test_inputs_of_no_known_part_are_refused(tmp_path):
    files = example(tmp_path)
    figure = [file for file in files if file.endswith(".svg")]
    with pytest.raises(LabError, match="none of the --inputs"):
        write_report(tmp_path, figure)


def test_one_id_for_two_numbers_is_a_mistake(tmp_path, monkeypatch):
    results = Results(tmp_path, example(tmp_path))
    file = "results/data/model/summary.json"
    one, two = (Number("x", value, "tokens", "deterministic", file, "k", "l") for value in (1, 2))
    section = Section("s", "S", (text("{one} {two}", one=one, two=two),))
    monkeypatch.setattr("vllm_lab.report.report.SECTIONS", (lambda results: section,))
    with pytest.raises(ValueError, match="x is two numbers"):
        numbers(compose(results, "T"))


def test_what_was_not_run_is_listed_with_its_reason(tmp_path, monkeypatch):
    results = Results(tmp_path, example(tmp_path))
    absent = Number(
        "gpu", None, "s", "not_run", "results/data/model/summary.json", "k", "Time", reason="no GPU here"
    )
    section = Section("s", "S", (text("{absent}", absent=absent),))
    monkeypatch.setattr("vllm_lab.report.report.SECTIONS", (lambda results: section,))
    page = Page(html.render(compose(results, "T")))
    assert "What was not run, and why." in page.text
    assert "no GPU here" in page.text


def prose(markdown: str, start: str) -> str:
    """The paragraph that begins so, without Markdown's marks."""
    line = next(line for line in markdown.replace("\\", "").splitlines() if line.startswith(start))
    return line.replace("`", "")


def test_the_naive_schedulers_end_is_told_with_what_vllm_does_instead(written):
    markdown = (written / "report.md").read_text(encoding="utf-8")
    told = prose(markdown, "On the multi-turn trace with scarce memory v1_naive ends in step 7")
    assert "13 requests had finished" in told
    assert "preempts c in this step" in told
    assert "8 free blocks at its end" in told
    assert "It finishes 1,000 requests with 430 preemptions." in told


def test_a_first_difference_is_told_from_both_sides_steps(written):
    markdown = (written / "report.md").read_text(encoding="utf-8")
    told = prose(markdown, "v2_lru, multi-turn trace, scarce memory: all is equal up to step 7.")
    assert "vLLM preempts c, v2_lru a; vLLM alone schedules a; v2_lru alone schedules c" in told
    assert told.endswith("afterwards vLLM has 8 free blocks, v2_lru 3.")


def test_exact_versions_are_said_to_be_exact_and_only_for_what_was_run(written, summary):
    markdown = (written / "report.md").read_text(encoding="utf-8")
    assert "all 33,926 steps" in prose(markdown, "v3_priority does:")
    assert "33,919 differ" in prose(markdown, "v2_lru does not:")
    entry = summary["scheduling.compared.v3_priority.single_turn.scarce.equal_steps"]
    assert (entry["status"], entry["value"]) == ("not_run", None)
    assert "vLLM is not installed" in entry["reason"]
    assert summary["scheduling.v4_prefix.multi_turn.scarce.preemptions"]["status"] == "simulated"
