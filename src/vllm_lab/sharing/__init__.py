"""Prefix sharing: what a prefix cache could save on a trace, and what one of a given size and policy does."""
