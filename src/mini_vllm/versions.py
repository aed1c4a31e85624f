"""The four versions by name, in reading order."""

from mini_vllm.v1_naive import engine as v1
from mini_vllm.v2_lru import engine as v2
from mini_vllm.v3_priority import engine as v3
from mini_vllm.v4_prefix import engine as v4

ENGINES = {"v1_naive": v1.Engine, "v2_lru": v2.Engine, "v3_priority": v3.Engine, "v4_prefix": v4.Engine}
VERSIONS = tuple(ENGINES)
