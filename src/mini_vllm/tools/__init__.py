"""All that is no part of the reading path: traces, records, explanations, the fast loop."""
