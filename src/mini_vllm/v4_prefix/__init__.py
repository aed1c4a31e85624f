"""v4: full blocks stay known by their content and are used again. vLLM 0.32's decisions, block for block."""
