"""The model whose tokenizer cuts the text and whose shape sets the cache's bytes: from model/summary.json."""

from vllm_lab.report.blocks import Cell, Code, Column, Section, Table, text
from vllm_lab.report.results import JsonResult, Results

_SHAPE = (
    ("Parameters", "", "parameters"),
    ("Layers", "", "layers"),
    ("KV heads", "", "kv_heads"),
    ("Head dimension", "", "head_dim"),
    ("Context length", "tokens", "context_length"),
    ("Vocabulary", "tokens", "vocab_size"),
    ("KV cache per token", "bytes", "kv_bytes_per_token"),
)
_IDENTITY = (
    ("Source", "source"),
    ("Version or revision", "revision_or_version"),
    ("Weights", "weights"),
    ("Number format", "dtype"),
    ("Licence", "licence"),
)


def build(results: Results) -> Section | None:
    """The model's section; None where no model was made."""
    if not results.has("data/model/summary.json"):
        return None
    found = results.json("data/model/summary.json")
    rows: list[tuple[Cell, ...]] = [
        (title, str(found.value(key))) for title, key in _IDENTITY if found.has(key)
    ]
    rows += [("sha256 of what was fetched", Code(found.value("sha256")))] if found.has("sha256") else []
    rows += [(title, _number(found, title, unit, key)) for title, unit, key in _SHAPE]
    intro = text(
        "{name} gives the tokenizer, the chat template and the shape of the KV cache. One token takes "
        "{bytes} there: keys and values, each layers × KV heads × head dimension numbers.",
        name=str(found.value("name")),
        bytes=_number(found, "KV cache per token", "bytes", "kv_bytes_per_token"),
    )
    table = Table(
        "model", text("The model."), (Column("Property"), Column("Value")), tuple(rows), (found.file,)
    )
    return Section("model", "Model", (intro, table))


def _number(found: JsonResult, title: str, unit: str, key: str) -> Cell:
    return found.number(f"model.{key}", unit, key, label=f"Model: {title[0].lower() + title[1:]}")
