"""`vllm-lab STAGE …` runs `python -m vllm_lab.STAGE …`. Without a stage it lists the stages."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.pages.architecture import PACKAGES


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
