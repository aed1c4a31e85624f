"""Four small schedulers for LLM serving, to be read in order: v1_naive, v2_lru, v3_priority, v4_prefix.

No model runs. A request is a prompt and the answer that the trace holds, and a step lasts what a clock says.
Read `request`, `limits` and `clock` first, then each version's `__init__`, block_manager, scheduler and
engine. v1 and v2 are what a learner would guess. v3 is the version that becomes vLLM, and v4 adds prefix
caching. `__main__` is the command line, and `tools` holds traces, records, explanations and a faster loop.
"""
