"""The versions of mini_vllm as plain facts. Nothing here imports an engine, so figures, schemas and rules can
read the table without making their results depend on an engine's code. The classes are in `engines`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """What the rest of the project has to know about one version."""

    name: str  # of its folder and on the command line
    title: str  # a few words for a heading or a legend
    caches: bool  # has a prefix cache
    chunks: bool  # may compute a prompt in several steps
    exact: bool  # its decisions must equal those of vLLM's scheduler (with prefix caching if it `caches`)
    changes: str  # one sentence: what is new against the version before


_TABLE = (
    Version(
        "v1_naive",
        "naive",
        caches=False,
        chunks=False,
        exact=False,
        changes="Memory is a list of free blocks, requests run first come, first served, and a decode that "
        "finds no free block ends the run.",
    ),
    Version(
        "v2_lru",
        "LRU",
        caches=False,
        chunks=False,
        exact=False,
        changes="A decode that finds no free block preempts the request that was scheduled longest ago.",
    ),
    Version(
        "v3_priority",
        "priority",
        caches=False,
        chunks=True,
        exact=True,
        changes="It becomes vLLM: a token budget, chunked prefill, priorities, and vLLM's rules "
        "for preemption and admission.",
    ),
    Version(
        "v4_prefix",
        "prefix cache",
        caches=True,
        chunks=True,
        exact=True,
        changes="Full blocks stay known by their content and are used again until they are evicted.",
    ),
)
VERSIONS = {version.name: version for version in _TABLE}  # in reading order
