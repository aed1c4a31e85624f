"""Experiments: predictions are written and pinned before a run, then compared with what happened."""
