"""The versions of mini_vllm as plain facts. Nothing here imports an engine, so figures, schemas and rules can
read the table without making their results depend on an engine's code. The classes are in `engines`."""

from typing import NamedTuple


class Version(NamedTuple):
    """What the rest of the project has to know about one version."""

    caches: bool  # has a prefix cache
    exact: bool  # its decisions must equal those of vLLM's scheduler (with prefix caching if it `caches`)


VERSIONS = {  # by the name of the folder, in reading order
    "v1_naive": Version(caches=False, exact=False),
    "v2_lru": Version(caches=False, exact=False),
    "v3_priority": Version(caches=False, exact=True),
    "v4_prefix": Version(caches=True, exact=True),
}
