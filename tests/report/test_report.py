"""The whole report, from result files to the three renderings."""

import json
import re
from pathlib import Path

import pytest

from tests.report.example import example, recorded, report_of, write_report
from tests.report.page import Page
from tests.report.words import HOSTILE
from vllm_lab.common.errors import LabError
from vllm_lab.report import render
from vllm_lab.report.blocks import Number, Section, text
from vllm_lab.report.report import all_numbers, compose
from vllm_lab.report.results import Results

STAGES = ("data", "traces", "sharing", "replay", "experiments", "cost_model", "plan", "load", "nsight",
          "tracing", "provenance")  # fmt: skip
FURTHER = {"replay": ("oracle",), "provenance": ("bundles",)}  # folders of another name in a stage's section


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


def test_the_first_answer_comes_before_every_table(written):
    for name in ("index.html", "report.md"):
        body = (written / name).read_text(encoding="utf-8")
        question = body.index("What fraction of prefill can prefix caching save")
        assert question < body.index("the kinds of its numbers, the jobs behind them")


def test_the_sections_are_the_stages_in_the_order_of_the_pipeline(page):
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section" and "id" in attributes]
    assert tuple(id for id in sections if id in STAGES) == STAGES


def sections(root: Path, files: list[str]) -> list[str]:
    return [section.id for section in compose(Results(root, files), "T").sections if section.id in STAGES]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_section_if_and_only_if_it_has_results(made, stage):
    root, files = made
    folders = tuple(f"results/{folder}/" for folder in (stage, *FURTHER.get(stage, ())))
    own = [file for file in files if file.startswith(folders)]
    assert sections(root, own) == [stage]
    assert sections(root, [file for file in files if file not in own]) == [s for s in STAGES if s != stage]


def test_a_document_of_a_stage_that_the_report_does_not_know_is_shown_plainly(tmp_path):
    body = recorded("plan/cpu/throughput.json") | {"test_name": "Warp drive"}
    page, summary = report_of(tmp_path, ("warp_measure", "warp/drive.json", body))
    assert "## Other results" in page
    assert "### Warp drive" in page
    assert summary["warp.drive.total_time"]["value"] == body["results"]["total_time"]["value"]


def test_each_document_alone_makes_a_page(made):
    root, files = made
    runs = re.compile(r"results/experiments/\w+\.\w+\.json")  # no part of their own without their verdicts
    alone = [file for file in files if file.endswith((".json", ".csv")) and not runs.fullmatch(file)]
    alone += [file for file in files if file.endswith(".verdict.json")]
    assert len(alone) > 50
    for file in alone:
        assert len(render.page(compose(Results(root, [file]), "T"))) > 10_000


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
    changed.write_bytes(changed.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(LabError, match=r"results/sharing/multi_turn_stats\.json: changed") as refused:
        write_report(tmp_path, files)
    assert "snakemake --cores 1" in str(refused.value)
    assert not (tmp_path / "results/report/index.html").exists()


def test_a_changed_byte_upstream_of_the_inputs_is_refused_too(tmp_path):
    files = example(tmp_path)
    (tmp_path / "results/data/sharegpt.json").write_text("[1]")
    with pytest.raises(LabError, match=r"results/data/sharegpt\.json: changed"):
        write_report(tmp_path, files)


def test_a_result_without_a_document_is_refused(tmp_path):
    files = example(tmp_path)
    (tmp_path / "results/data/model/data_model.prov.json").unlink()
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
    with pytest.raises(LabError, match="no part for any of the --inputs"):
        write_report(tmp_path, figure)


def test_one_id_for_two_numbers_is_a_mistake(tmp_path, monkeypatch):
    results = Results(tmp_path, example(tmp_path))
    file = "results/data/model/summary.json"
    one, two = (Number("x", value, "tokens", "deterministic", file, "k", "l") for value in (1, 2))
    section = Section("s", "S", (text("{one} {two}", one=one, two=two),))
    monkeypatch.setattr("vllm_lab.report.report.PARTS", (lambda _: section,))
    with pytest.raises(ValueError, match="x is two numbers"):
        all_numbers(compose(results, "T"))


def test_what_was_not_run_is_listed_with_its_reason(tmp_path, monkeypatch):
    results = Results(tmp_path, example(tmp_path))
    absent = Number(
        "gpu", None, "s", "not_run", "results/data/model/summary.json", "k", "Time", reason="no GPU here"
    )
    section = Section("s", "S", (text("{absent}", absent=absent),))
    monkeypatch.setattr("vllm_lab.report.report.PARTS", (lambda _: section,))
    page = Page(render.page(compose(results, "T")))
    assert "What did not run, and why." in page.text
    assert "no GPU here" in page.text
