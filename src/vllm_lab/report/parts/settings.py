"""The configuration behind the report: from project/configuration.json."""

from vllm_lab.common import config
from vllm_lab.common.files import canonical_json
from vllm_lab.report.blocks import Code, Column, Section, Table, text
from vllm_lab.report.results import Results

_FILE = "provenance/configuration.json"


def build(results: Results) -> Section | None:
    """Every setting with its value; None where it was not written down."""
    if not results.has(_FILE):
        return None
    found = results.json(_FILE)
    rows = tuple(
        (Code(key), Code(value if isinstance(value, str) else canonical_json(value)))
        for key, value in config.flat(found.body).items()
    )
    caption = "The configuration that the workflow was asked with, presets and all."
    columns = (Column("Key"), Column("Value"))
    return Section("settings", "Settings", (Table("settings", text(caption), columns, rows, (found.file,)),))
