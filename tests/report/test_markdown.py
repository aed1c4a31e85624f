"""The report as Markdown, which shows text as it is, whatever the text."""

import re

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from vllm_lab.report.blocks import Code, Column, Number, Table, text
from vllm_lab.report.render import _prose, _table

READER = MarkdownIt("commonmark").enable("table")
HOSTILE = st.text(st.sampled_from("<>|`*_[]()#!\\~&-+1. \n\tax=\"'/;:{}$"), max_size=30)


def shown(html: str) -> str:
    """The words a reader sees, with white space as one space."""
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


def escaped_html(words: str) -> str:
    """The words as HTML source spells them."""
    spaced = " ".join(words.split())
    return spaced.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


@given(HOSTILE)
def test_a_paragraph_reads_as_itself_in_every_place(words):
    paragraph = _prose(text("{w}", w=words))
    for before, after in (("", ""), ("x ", " x")):
        expected = " ".join(f"{before}{escaped_html(words)}{after}".split())
        assert shown(READER.render(f"{before}{paragraph}{after}")) == expected


def test_a_sentence_that_begins_with_a_number_and_a_full_stop_is_no_list():
    three = Number("n", 3, "requests", "derived", "results/a.json", "k", "l")
    assert "<ol" not in READER.render(_prose(text("{n}. That is all", n=three)))


@given(HOSTILE, HOSTILE)
def test_table_cells_keep_their_number_and_their_text(words, name):
    table = Table("t", text("c"), (Column("A"), Column("B")), ((text("{w}", w=words), Code(name)),))
    html = READER.render("\n".join(_table(table, varying=False)[2:]))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html, flags=re.S)
    assert len(cells) == 2
    assert shown(cells[0]) == escaped_html(words)
    assert shown(cells[1]) == escaped_html(name)


def test_a_table_of_whose_columns_only_the_first_may_be_shown_is_left_out():
    table = Table("t", text("c"), (Column("Run"), Column("Load", varies=True)), (("0", "1.5"),))
    assert _table(table, varying=False) == []
    assert _table(table, varying=True)[-1] == "| 0 | 1.5 |"


def test_the_markdown_names_the_source_of_each_section(written):
    markdown = (written / "report.md").read_text(encoding="utf-8")
    for block in markdown.split("\n## ")[2:]:
        title = block.splitlines()[0]
        if title != "What is measured, simulated or not run":
            assert re.search(r"^Sources: `results/.*sha256 [0-9a-f]{12}, rule `", block, flags=re.M), title


def test_figures_in_the_markdown_are_links_that_lead_to_the_files(written):
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (written / "report.md").read_text(encoding="utf-8"))
    assert links
    assert all((written / link).resolve().is_file() for link in links)
