"""Write the configuration that a run resolved to: config.yaml with presets and settings over it.

In: the settings as JSON.
Out: the same as a file, so that runs elsewhere can be compared with this one.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import write_json


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", type=json.loads, required=True, metavar="JSON")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    write_json(args.output, args.settings)


if __name__ == "__main__":
    console.run(main)
