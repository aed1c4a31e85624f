"""`python -m vllm_lab.pages`: write the pages of docs/ that follow from code and configuration."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import write_text
from vllm_lab.pages import architecture, configuration, metrics

DOCS = Path("docs")


def pages() -> dict[Path, str]:
    """File -> its text, as it should be now. The working directory is the project's root."""
    table = DOCS / "architecture.md"
    return {
        DOCS / "configuration.md": configuration.render(
            configuration.CONFIG.read_text(encoding="utf-8"), configuration.SCHEMA
        ),
        DOCS / "metrics.md": metrics.render(),
        table: architecture.render(table.read_text(encoding="utf-8")),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Write every page."""
    argparse.ArgumentParser(prog="python -m vllm_lab.pages", description=__doc__).parse_args(argv)
    for path, text in pages().items():
        write_text(path, text)


if __name__ == "__main__":
    console.run(main)
