"""What every measurement shares: the result document, repeats, workloads, engines, one replay."""

GENERATED, SHAREGPT = "generated", "sharegpt"  # where the prompts of a test come from
