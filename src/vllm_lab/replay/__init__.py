"""Any engine over any trace: requests, the replay and its records, metrics, comparison and figures."""
