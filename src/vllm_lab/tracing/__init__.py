"""What real vLLM calls to make a token: its modules by forward hooks, its kernels by PyTorch's profiler.

generation  a prompt answered, plainly and traced in turns, so that tracing's own cost is known
modules     which part a module plays: norm, attention, rotary, activation, linear, …
hooks       every call of every module: shapes, dtypes, time, place, call stack
selection   the calls that a user asks for
summary     calls by class, the path through one layer, the most called
expected    the calls that a forward must make by the model's configuration, held against those counted
profiler    operators and kernels, each with the class and the source file that its name tells
kernels     names of kernels -> classes and source files; kernels.yaml has the patterns
documents   what the three tools leave
text        the same for reading

Imports torch and vLLM only inside functions, so that the rest runs where they are not installed.
"""
