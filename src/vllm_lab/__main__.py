"""`vllm-lab STAGE …` runs `python -m vllm_lab.STAGE …`. Without a stage it lists the stages."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

# The packages from the bottom up, in the order in which they may import each other. docs/architecture.md has
# this table, and tests/pages/test_architecture.py checks that the code follows it.
PACKAGES = {
    "common": "errors, files, schemas, console, flags, the machine, metrics, statistics, figures",
    "provenance": "a document for each job, its verification, the archive, bundles, the research object",
    "data": "conversations and the model: fetch, read, repair; the checkpoint",
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


def stages() -> dict[str, str]:
    """What each stage with a command line of its own holds, by name, from the bottom up."""
    here = Path(__file__).parent
    return {name: holds for name, holds in PACKAGES.items() if (here / name / "__main__.py").exists()}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage that the first argument names. An unknown stage ends the process with status 2.

    Only that stage is imported, so the list appears at once and a stage's dependencies may be missing.
    """
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print("usage: vllm-lab STAGE …     (vllm-lab STAGE --help lists the flags of a stage)\n")
        for stage, holds in stages().items():
            print(f"  {stage:<12} {holds}")
    elif name in stages():
        sys.argv = [f"vllm-lab {name}", *rest]
        runpy.run_module(f"vllm_lab.{name}", run_name="__main__", alter_sys=True)
    else:
        print(f"error: {name!r} is no stage; the stages are {', '.join(stages())}", file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    main()
