"""Real vLLM, whole, in this process: the model runs, the clock is real, every step is watched.

settings    what the engine is given
engine      vLLM started, warmed up, and run one step at a time
forced      the model made to answer what the trace holds
replay      requests through it in real time; `run` is start, replay, stop
measured    what a run leaves
annotations NVTX ranges around its parts
selection   a trace made small enough for a small machine

Imports vLLM only inside functions, so that the rest runs where it is not installed.
"""
