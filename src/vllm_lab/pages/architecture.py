"""The packages of vllm_lab, from the bottom up: the order in which they may import each other.

docs/architecture.md prints this table. tests/pages/test_architecture.py checks that the code follows it.
"""

import re

from vllm_lab.common.errors import LabError

PACKAGES = {
    "common": "errors, files, schemas, console, flags, the machine, metrics, statistics, figures",
    "provenance": "a document for each job, its verification, the archive, bundles, the research object",
    "data": "conversations and the model: fetch, read, mend; the checkpoint",
    "traces": "token streams and traces; one file for each format that comes in or goes out",
    "sharing": "how much of the prompts is shared; cache sweeps over capacity and policy",
    "replay": "any engine over any trace in virtual time: requests, records, metrics, comparison",
    "oracle": "vLLM's own scheduler in virtual time; random workloads and shrinking",
    "engines": "real vLLM, run whole in one process with every step watched",
    "measure": "the result document, repeats, disturbance, workloads, phases of a step",
    "plan": "the tests of the benchmark plan",
    "cost_model": "what a step costs: measured on real vLLM, then fitted",
    "server": "the OpenAI-compatible server on mini-vLLM",
    "load": "load on any OpenAI-compatible server, and what was predicted for it",
    "tracing": "every module call and kernel of real vLLM",
    "nsight": "captures by Nsight Systems and what they hold",
    "experiments": "predictions pinned before a run, and their verdicts",
    "report": "all results on one page",
    "pages": "pages of docs/ that are generated from code and configuration",
    "workflow": "what the rules compute from the configuration: flags and lists of files",
}
_BEGIN, _END = "<!-- packages: written by make docs -->\n", "<!-- end of packages -->\n"


def render(page: str) -> str:
    """docs/architecture.md, with the table of packages between its two marks as it is now."""
    rows = "".join(
        f"| {number} | `{name}` | {what} |\n" for number, (name, what) in enumerate(PACKAGES.items(), 1)
    )
    table = f"\n| | package | holds |\n|---|---|---|\n{rows}\n"
    found = re.subn(f"{_BEGIN}.*?{_END}", lambda _: f"{_BEGIN}{table}{_END}", page, flags=re.DOTALL)
    if found[1] != 1:
        raise LabError(
            f"docs/architecture.md: expected one table between {_BEGIN.strip()} and {_END.strip()}"
        )
    return found[0]
