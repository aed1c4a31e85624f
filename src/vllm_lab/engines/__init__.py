"""Real vLLM, run whole in this process: the model runs, the clock is real, every step is watched.

Importing these modules does not import vLLM, so that the rest runs where it is not installed. Only `plugins`
extends vLLM's own classes and is imported late.
"""
