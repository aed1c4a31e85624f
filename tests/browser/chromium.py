"""Debian's Chromium without a window: what a page asked for, what it logged, and what became of it."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
)


@dataclass(frozen=True)
class Visit:
    """What came of opening a page."""

    dom: str
    console: list[str]
    requests: list[str]


def installed() -> str | None:
    """Chromium's path, None where it is not installed."""
    return shutil.which("chromium")


def visit(page: Path, folder: Path, *flags: str) -> Visit:
    """Open `page`; its final DOM, its console lines, and the addresses that it asked for over the network.

    Chromium's own requests (updates, clock) have no page as initiator and are not counted.
    """
    log = folder / "net.json"
    done = _run(folder, page, f"--log-net-log={log}", "--dump-dom", *flags)
    console = re.findall(r":CONSOLE:\d+\] (.*)", done.stderr)
    return Visit(done.stdout, console, _page_requests(log))


def print_pages(page: Path, folder: Path) -> int:
    """Print `page` to PDF; its number of pages."""
    pdf = folder / "page.pdf"
    _run(folder, page, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def _run(folder: Path, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [installed(), *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def _page_requests(log: Path) -> list[str]:
    body = json.loads(log.read_text(encoding="utf-8"))
    started = body["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = (event.get("params", {}) for event in body["events"] if event["type"] == started)
    return [found["url"] for found in asked if found.get("initiator", "not an origin") != "not an origin"]
