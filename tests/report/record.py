"""Record a finished run of the small preset as the report's example.

    python -m tests.report.record results

Copies the JSON and CSV files that the report reads to tests/report/recorded/. jobs.json lists all jobs
behind them, with their rules and files. Long lists and vLLM's configuration are cut, so that a document stays
short and still fits its schema. The run must include `snakemake report`.
"""

import sys
from pathlib import Path
from typing import Any

from vllm_lab.common.files import canonical_json, read_json, write_text
from vllm_lab.provenance.documents import collect
from vllm_lab.provenance.upstream import Jobs

RECORDED = Path(__file__).with_name("recorded")
REPORT = "results/report/index.html"
KEPT = {  # key -> how many entries of a list (or object) stay; the report shows fewer, or none at all
    "config": 0,
    "command": 4,
    "raw": 0,
    "calls": 3,
    "stacks": 3,
    "most_called": 3,
    "steps": 3,
    "timeline": 5,
    "kernels": 13,
    "metrics_by_priority": 1,
}


def record(root: Path) -> None:
    """Write the example from the results below `root`."""
    covering = collect(root)
    inputs = [path for path in covering[REPORT].inputs if not path.endswith(".prov.json")]
    inputs = [path for path in inputs if path.startswith("results/")]
    for path in inputs:
        if path.endswith(".json"):
            write_text(RECORDED / path, canonical_json(cut(read_json(root / path))) + "\n")
        elif path.endswith(".csv"):
            write_text(RECORDED / path, (root / path).read_text(encoding="utf-8"))
    jobs = [
        {
            "rule": job.document.identity["rule"],
            "kind": job.document.identity["kind"],
            "wildcards": job.document.identity["wildcards"],
            "inputs": [path for path in job.document.inputs if path in covering],
            "outputs": list(job.document.outputs),
        }
        for job in Jobs(covering, inputs).all
    ]
    lines = ",\n".join(canonical_json(job) for job in jobs)
    write_text(RECORDED / "jobs.json", f'{{"inputs":{canonical_json(inputs)},\n"jobs":[\n{lines}\n]}}\n')


def cut(value: Any) -> Any:
    """The value with the lists and objects under the keys of KEPT shortened."""
    if isinstance(value, dict):
        return {key: cut(_first(entry, KEPT[key]) if key in KEPT else entry) for key, entry in value.items()}
    return [cut(entry) for entry in value] if isinstance(value, list) else value


def _first(value: Any, count: int) -> Any:
    if isinstance(value, dict):
        return dict(list(value.items())[:count])
    return value[:count] if isinstance(value, list) else value


if __name__ == "__main__":
    record(Path(sys.argv[1]).resolve().parent)
