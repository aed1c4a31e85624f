"""The report in a real browser."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Visit, installed, print_pages, visit
from tests.report.example import example, recorded, write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(installed() is None, reason="chromium is not installed: apt-get install chromium"),
]

BROKEN = """<!DOCTYPE html><title>broken</title><img src="http://example.test/a.png" alt="">
<script>notDefined()</script>"""
CLICK = """
const tick = () => new Promise((done) => setTimeout(done, 50));
const number = document.querySelector("main button.n");
number.focus(); number.click();
const panel = document.getElementById(number.getAttribute("popovertarget"));
const open = panel.matches(":popover-open");
const facts = [...panel.querySelectorAll(".facts dd")].map((field) => field.textContent);
const focused = panel.contains(document.activeElement);
const maker = panel.querySelector(".files button.ref");
maker.focus(); maker.click();
await tick();
const above = document.getElementById(maker.getAttribute("popovertarget"));
const chained = above.matches(":popover-open") && panel.matches(":popover-open");
const stale = !above.querySelector(".facts").hidden;
above.querySelector(".close").click();
await tick();
const back = document.activeElement === maker;
panel.querySelector(".close").click();
await tick();
const home = !panel.matches(":popover-open") && document.activeElement === number;
return {open, facts, focused, chained, stale, back, home};
"""
WIDTHS = """
const frame = document.createElement("iframe");
frame.style.cssText = "width: 360px; height: 800px; border: 0";
const copy = document.documentElement.cloneNode(true);
for (const script of copy.querySelectorAll("script")) script.remove();
frame.srcdoc = "<!DOCTYPE html>" + copy.outerHTML;
const loaded = new Promise((done) => { frame.onload = done; });
document.body.append(frame);
await loaded;
const root = frame.contentDocument.documentElement;
return {width: frame.contentWindow.innerWidth, beyond: root.scrollWidth - root.clientWidth};
"""
COLOUR = "return getComputedStyle(document.body).backgroundColor;"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    return write_report(root, example(root)) / "index.html"


def probed(page: Path, folder: Path, script: str, *flags: str) -> Any:
    """What `script`, the body of an asynchronous function, returns in a copy of the page that lets it run."""
    body = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    run = f"(async () => {{{script}}})().then((found) => {{ document.title = JSON.stringify(found); }});"
    folder.mkdir(exist_ok=True)
    copy = folder / "probed.html"
    copy.write_text(body.replace("</body>", f"<script>{run}</script></body>"), encoding="utf-8")
    seen = visit(copy, folder, "--virtual-time-budget=5000", *flags)
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", seen.dom, flags=re.S)[1]))


def test_the_report_opens_without_a_console_line_and_asks_for_nothing(page, tmp_path):
    assert visit(page, tmp_path) == Visit(visit(page, tmp_path / "again").dom, console=[], requests=[])


def test_a_page_that_fails_or_asks_would_be_noticed(tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(BROKEN)
    seen = visit(broken, tmp_path)
    assert seen.requests == ["http://example.test/a.png"]
    assert any("notDefined" in line for line in seen.console)


def test_pressing_a_number_opens_its_job_and_from_there_the_jobs_before(page, tmp_path):
    found = probed(page, tmp_path, CLICK)
    facts = found.pop("facts")
    assert found == {
        "open": True,
        "focused": True,
        "chained": True,
        "stale": False,
        "back": True,
        "home": True,
    }
    saved = recorded("sharing/multi_turn_stats.json")["metrics"]["saved_prefill_fraction"]
    assert f"{saved} fraction" in facts
    assert "results/sharing/multi_turn_stats.json → metrics.saved_prefill_fraction" in facts


def test_a_phone_of_360_pixels_scrolls_tables_and_not_the_page(page, tmp_path):
    assert probed(page, tmp_path, WIDTHS) == {"width": 360, "beyond": 0}


def test_dark_is_dark_and_light_is_light(page, tmp_path):
    light, dark = (
        probed(page, tmp_path / name, COLOUR, f"--blink-settings=preferredColorScheme={value}")
        for name, value in (("light", 1), ("dark", 0))
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour))) / 3 for colour in (light, dark)]
    assert brightness[0] > 220
    assert brightness[1] < 40


def test_on_paper_the_jobs_follow_as_an_appendix(page, tmp_path):
    body = page.read_text(encoding="utf-8")
    without = tmp_path / "without.html"
    without.write_text(re.sub(r"<section popover.*?</section>", "", body, flags=re.S), encoding="utf-8")
    assert print_pages(page, tmp_path / "whole") > print_pages(without, tmp_path / "part") > 1
