"""What every measurement shares: the result document, repeats, workloads, engines, one replay."""
