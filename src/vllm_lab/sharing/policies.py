"""The eviction policies that a sweep knows, in one table.

The figures, the report, the configuration's schema and docs/sharing.md read this table; the position of a
policy in it decides its colour and line in the figures. A new policy of libCacheSim needs a row here and a
test; a new simulated one also needs its order of eviction in `sweep`.
"""

from typing import NamedTuple


class Policy(NamedTuple):
    """One eviction policy."""

    library: str = ""  # its class in libCacheSim; empty for a policy that is simulated here
    least_blocks: int = 1  # the size of the smallest cache in which it works


# Each comment says which block goes first.
POLICIES = {
    "lru": Policy(),  # the block whose last access is the longest ago
    "fifo": Policy(),  # the block that was inserted the longest ago
    "lfu": Policy(),  # the one with the fewest accesses since its insertion, reachable or not; then as lru
    "length_aware": Policy(),  # the block deepest in its prompt; then as lru (LengthAwareCache of Mooncake)
    "belady": Policy(),  # the block whose next access is the farthest away; it may also refuse a block
    # The small queue of S3-FIFO, a tenth of the cache, takes nothing when it is below two blocks.
    "s3fifo": Policy("S3FIFO", least_blocks=20),
    "sieve": Policy("Sieve"),
    "arc": Policy("ARC"),
}
BOUND = "belady"  # knows the future: no policy for real use, but the bound of all others


def policy_title(name: str) -> str:
    """The title of a policy in figures and tables, also of a policy that is missing in the table."""
    return name.replace("_", " ")
