"""Any engine over any trace: requests, the replay and its records, metrics, comparison, timeline, figures."""
