"""Write the resolved configuration of a run: config.yaml, overridden by presets and settings.

In: the settings as JSON.
Out: the same as a file, so that runs elsewhere can be compared with this one.
"""

import json

from vllm_lab.common import console, files, flags


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, output="JSON to write")
    parser.add_argument("--settings", type=json.loads, required=True, metavar="JSON")
    args = parser.parse_args(argv)
    files.write_json(args.output, args.settings)


if __name__ == "__main__":
    console.run(main)
