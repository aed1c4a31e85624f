"""Four small schedulers for LLM serving, read in order: v1_naive, v2_lru, v3_priority, v4_prefix.

No model runs. A request is tokens that come and tokens that are answered; a step lasts what the clock says.
"""
