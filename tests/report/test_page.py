"""The page: what its numbers open, what it links to and loads."""

import re
from pathlib import Path

from vllm_lab.common.figure_names import FIGURES
from vllm_lab.provenance.documents import collect
from vllm_lab.report.report import METRICS_PAGE


def test_every_number_opens_the_job_that_wrote_its_file_with_the_hash_recorded(written, page, summary):
    body = (written / "index.html").read_text(encoding="utf-8")
    panels = dict(re.findall(r'<section popover id="(job-\d+)"(.*?)</section>', body, flags=re.S))
    hashes = {file: document.outputs[file] for file, document in collect(written.parents[1]).items()}
    assert len(page.with_class("n")) > 200
    for number in page.with_class("n"):
        file = summary[number["data-id"]]["file"]
        assert f"sha256 {hashes[file]}" in panels[number["popovertarget"]]


def test_the_page_asks_for_nothing_from_outside(written, page):
    fetched = [
        value
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "poster", "action")
    ]
    assert fetched
    assert all(value.startswith(("data:", "#")) or value == f"../../{METRICS_PAGE}" for value in fetched)
    assert "url(" not in (written / "index.html").read_text(encoding="utf-8")


def test_images_have_alternative_texts_and_tables_have_captions_and_headers(page):
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert images
    assert all(len(image["alt"]) > 20 for image in images)
    tables = [attributes for tag, attributes in page.tags if tag == "table"]
    assert all(table["aria-labelledby"] in page.by_id() for table in tables)
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")


def test_every_reference_inside_the_page_has_its_target(page):
    ids = page.by_id()
    links = [a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")]
    targets = [a["popovertarget"] for _, a in page.tags if "popovertarget" in a]
    assert links
    assert set(links) | set(targets) <= ids.keys()
    all_ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(all_ids) == len(set(all_ids))


def test_a_panel_links_each_input_to_the_job_that_made_it(written):
    body = (written / "index.html").read_text(encoding="utf-8")
    panels = re.findall(r'<section popover id="(job-\d+)".*?</h3>(.*?)</section>', body, flags=re.S)
    tokens = next(
        panel
        for _, panel in panels
        if "results/traces/streams_summary.json</code>" in panel and "<code>traces_tokens</code>" in panel
    )
    assert re.search(
        r"results/data/conversations\.parquet</code>.*?from <button[^>]*>\[\d+\] data_conversations<",
        tokens,
        flags=re.S,
    )
    assert re.search(
        r"results/data/model/tokenizer\.json</code>.*?from <button[^>]*>\[\d+\] data_model<",
        tokens,
        flags=re.S,
    )


def test_page_and_markdown_link_to_the_definitions_of_the_metrics(written, page):
    assert f"../../{METRICS_PAGE}" in [a["href"] for tag, a in page.tags if tag == "a"]
    assert f"(../../{METRICS_PAGE})" in (written / "report.md").read_text(encoding="utf-8")
    assert (Path(__file__).parents[2] / METRICS_PAGE).is_file()


def test_every_figure_of_the_results_is_shown(written):
    markdown = (written / "report.md").read_text(encoding="utf-8")
    figures = [name for folder, names in FIGURES.items() for name in names]
    assert [name for name in figures if f"/figures/{name}." not in markdown] == []
