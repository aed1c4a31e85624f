"""The configuration as command-line flags. `config` is config.yaml with everything laid over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Config = Mapping[str, Any]
JUDGING = ("limit_ttft", "limit_tpot", "limit_e2e", "turn_factor")  # settings of `load`


def of(values: Config) -> list[str]:
    """A mapping as flags: a list repeats the value, True gives the bare flag, False and "" give nothing."""
    words: list[str] = []
    for name, value in values.items():
        if value is False or value == "":
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += [str(item) for item in (value if isinstance(value, list) else [value])]
    return words


def source(section: Config) -> list[str]:
    """`--source X` and the flags of that source. The section has one entry for each source."""
    given = section[section["source"]]
    return of({"source": section["source"], **(given if isinstance(given, Mapping) else {"path": given})})


def template(traces: Config) -> list[str]:
    """How a conversation is rendered as a prompt."""
    return of(_chosen(traces, "chat_template", "default_system_prompt"))


def trace(traces: Config) -> list[str]:
    """Which conversations become requests, and when the requests arrive."""
    return of(
        {
            **traces["conversations"],
            **_chosen(traces, "seed", "rate"),
            "think_time": traces["think_time"]["seconds"],
            "think_distribution": traces["think_time"]["distribution"],
            "over_context": traces["over_context"],
            "priorities": [f"{priority}:{share}" for priority, share in traces["priorities"].items()],
        }
    )


def imported(section: Config) -> list[str]:
    """Format, file and block size (tokens) of an imported trace."""
    return of(
        {"format": section["format"], "input": section["path"], "block_tokens": section["block_tokens"]}
    )


def sweep(config: Config, trace: str) -> list[str]:
    """Block sizes, cache capacities and eviction policies. An imported trace has its own block size."""
    settings = config["sweep"]
    if trace in config["traces"]["imported"]:
        sizes = {"capacities_blocks": settings["imported_capacities_blocks"]}
    else:
        sizes = _chosen(config["sharing"], "block_sizes") | _chosen(settings, "capacities_tokens")
    return of({**sizes, "policies": settings["policies"]})


def replay(config: Config, imported: str = "") -> list[str]:
    """How much of a trace is replayed, under which limits, with which clock.

    An imported trace (its name) is replayed whole, in blocks of its own size.
    """
    settings = config["replay"]
    if imported:
        size = {"block_size": config["traces"]["imported"][imported]["block_tokens"]}
    else:
        size = {"limit": settings["requests"] or False, "block_size": settings["block_size"]}
    limits = _chosen(settings, "max_num_seqs", "max_num_batched_tokens", "policy")
    clock = ",".join(str(settings["clock"][part]) for part in ("base", "per_token", "per_request"))
    return of({**size, **limits, "clock": clock})


def load(section: Config) -> list[str]:
    """The settings of the load on a server that decide what is measured."""
    return of({name: value for name, value in section.items() if name not in JUDGING})


def judging(section: Config) -> list[str]:
    """The settings that judge a measured load. A change in them reruns no measurement."""
    return of(_chosen(section, *JUDGING))


def plan(config: Config, device: str, workload: str, trace: str = "") -> list[str]:
    """Model, engine, repeats and workload of a test of the plan. Its prompts come from `trace` if given."""
    settings = config["plan"]
    on_device = settings[device]
    if shape := on_device["dummy_weights_of"]:
        model = {"model_dir": shape, "model_name": Path(shape).name, "load_format": "dummy"}
    else:
        model = {"model_dir": "results/data/model", "model_name": config["model"]["name"]}
    repeats = _chosen(settings, "seed", "repeats", "most_repeats", "tolerance_pct")
    prompts = {"prompts": "sharegpt", "trace": trace} if trace else {}
    return of({**model, **repeats, **on_device["engine"], **on_device[workload], **prompts})


def _chosen(section: Config, *names: str) -> dict[str, Any]:
    return {name: section[name] for name in names}
