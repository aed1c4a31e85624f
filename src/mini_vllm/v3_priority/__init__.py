"""v3: token budget, chunked prefill, priorities. Without a prefix cache, vLLM 0.32's decisions exactly."""
