"""Real vLLM, run whole in this process: the model runs, the clock is real, every step is watched.

Importing these modules does not import vLLM, so that the rest runs where it is not installed. Two exceptions
extend vLLM's own classes and are imported late: `forced_plugin` and `separated`.
"""
