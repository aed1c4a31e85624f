"""All that is no part of the reading path: the command line's parts, traces, records, the fast loop."""
