"""What stands beside the reading path: the command line, the fast loop, traces, records, explanations."""
