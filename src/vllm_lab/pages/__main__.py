"""`python -m vllm_lab.pages`: write the pages of docs/ that follow from code and configuration."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.__main__ import PACKAGES
from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_text
from vllm_lab.pages import configuration, metrics

ARCHITECTURE = Path("docs/architecture.md")
_BEGIN, _END = "<!-- packages: written by make docs -->\n", "<!-- end of packages -->\n"


def pages() -> dict[Path, str]:
    """File -> its text, as it should be now. The working directory is the project's root."""
    config = configuration.CONFIG.read_text(encoding="utf-8")
    return {
        Path("docs/configuration.md"): configuration.render(config, configuration.SCHEMA),
        Path("docs/metrics.md"): metrics.render(),
        ARCHITECTURE: with_packages(ARCHITECTURE.read_text(encoding="utf-8")),
    }


def with_packages(page: str) -> str:
    """docs/architecture.md, with the table of packages between its two marks as it is now."""
    rows = "".join(
        f"| {number} | `{name}` | {what} |\n" for number, (name, what) in enumerate(PACKAGES.items(), 1)
    )
    table = f"{_BEGIN}\n| | package | holds |\n|---|---|---|\n{rows}\n{_END}"
    made, tables = re.subn(f"{_BEGIN}.*?{_END}", lambda _: table, page, flags=re.DOTALL)
    if tables != 1:
        raise LabError(f"{ARCHITECTURE}: expected one table between {_BEGIN.strip()} and {_END.strip()}")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Write every page."""
    argparse.ArgumentParser(prog="python -m vllm_lab.pages", description=__doc__).parse_args(argv)
    for path, text in pages().items():
        write_text(path, text)


if __name__ == "__main__":
    console.run(main)
