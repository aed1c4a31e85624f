"""Experiments: predictions written and pinned before a run, held against what happened."""
