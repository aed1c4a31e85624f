"""How many bytes of KV cache one token takes: given, or read from the model's summary."""

from __future__ import annotations

import argparse

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The two ways to say it; with neither, figures in bytes are null."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--kv-bytes-per-token", type=int, metavar="BYTES")
    group.add_argument("--model-summary", metavar="JSON", help="summary.json with kv_bytes_per_token")


def from_flags(args: argparse.Namespace) -> int | None:
    """Bytes a token, or None if neither flag was given; LabError where the summary lacks it."""
    if args.model_summary is None:
        return args.kv_bytes_per_token
    value = read_json(args.model_summary).get("kv_bytes_per_token")
    if not isinstance(value, int) or value < 1:
        raise LabError(
            f"{args.model_summary}: kv_bytes_per_token is {value!r}, must be an integer >= 1; "
            "run the rule model again, or pass --kv-bytes-per-token"
        )
    return value
