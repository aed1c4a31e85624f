"""The configuration as command-line flags. `config` is config.yaml with everything laid over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Config = Mapping[str, Any]
JUDGING = ("limit_ttft", "limit_tpot", "limit_e2e", "turn_factor")  # settings of `load`


def flags(values: Config) -> list[str]:
    """A mapping as flags: a list repeats the value, True gives the bare flag, False and "" give nothing."""
    words: list[str] = []
    for name, value in values.items():
        if value is False or value == "":
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += [str(item) for item in (value if isinstance(value, list) else [value])]
    return words


def source_flags(section: Config) -> list[str]:
    """`--source X` and the flags of that source. The section has one entry for each source."""
    given = section[section["source"]]
    return flags({"source": section["source"], **(given if isinstance(given, Mapping) else {"path": given})})


def template_flags(traces: Config) -> list[str]:
    """How a conversation is rendered as a prompt."""
    return flags({key: traces[key] for key in ("chat_template", "default_system_prompt")})


def trace_flags(traces: Config) -> list[str]:
    """Which conversations become requests, and when the requests arrive."""
    return flags(
        {
            **traces["conversations"],
            "seed": traces["seed"],
            "rate": traces["rate"],
            "think_time": traces["think_time"]["seconds"],
            "think_distribution": traces["think_time"]["distribution"],
            "over_context": traces["over_context"],
            "priorities": [f"{priority}:{share}" for priority, share in traces["priorities"].items()],
        }
    )


def imported_flags(imported: Config) -> list[str]:
    """Format, file and block size (tokens) of an imported trace."""
    return flags(
        {"format": imported["format"], "input": imported["path"], "block_tokens": imported["block_tokens"]}
    )


def sweep_flags(config: Config, trace: str) -> list[str]:
    """Block sizes, cache capacities and eviction policies. An imported trace has its own block size."""
    sweep = config["sweep"]
    if trace in config["traces"]["imported"]:
        sizes = {"capacities_blocks": sweep["imported_capacities_blocks"]}
    else:
        sizes = {
            "block_sizes": config["sharing"]["block_sizes"],
            "capacities_tokens": sweep["capacities_tokens"],
        }
    return flags({**sizes, "policies": sweep["policies"]})


def replay_flags(config: Config, imported: str = "") -> list[str]:
    """How much of a trace is replayed, under which limits, with which clock.

    An imported trace (its name) is replayed whole, in blocks of its own size.
    """
    replay = config["replay"]
    limit, block_size = replay["requests"], replay["block_size"]
    if imported:
        limit, block_size = 0, config["traces"]["imported"][imported]["block_tokens"]
    names = ("max_num_seqs", "max_num_batched_tokens", "policy")
    clock = ",".join(str(replay["clock"][part]) for part in ("base", "per_token", "per_request"))
    limits = {"block_size": block_size, **{name: replay[name] for name in names}}
    return flags({"limit": limit or False, **limits, "clock": clock})


def load_flags(load: Config) -> list[str]:
    """The settings of the load on a server that decide what is measured."""
    return flags({name: value for name, value in load.items() if name not in JUDGING})


def judging_flags(load: Config) -> list[str]:
    """The settings that judge a measured load. A change in them reruns no measurement."""
    return flags({name: load[name] for name in JUDGING})


def plan_flags(config: Config, device: str, workload: str, trace: str = "") -> list[str]:
    """Model, engine, repeats and workload of a test of the plan. Its prompts come from `trace` if given."""
    plan = config["plan"]
    given, shape = plan[device], plan[device]["dummy_weights_of"]
    model = (
        {"model_dir": shape, "model_name": Path(shape).name, "load_format": "dummy"}
        if shape
        else {"model_dir": "results/data/model", "model_name": config["model"]["name"]}
    )
    repeats = {name: plan[name] for name in ("seed", "repeats", "most_repeats", "tolerance_pct")}
    prompts = {"prompts": "sharegpt", "trace": trace} if trace else {}
    return flags({**model, **repeats, **given["engine"], **given[workload], **prompts})
