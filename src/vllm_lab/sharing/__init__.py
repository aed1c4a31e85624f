"""Prefix sharing: how much a prefix cache could save on a trace, and how much a limited cache finds."""
