"""What every measurement shares: the result document, repeats, workloads, an engine in a process."""
