"""What every measurement shares: the result document, repeats, workloads, one replay of an engine."""
