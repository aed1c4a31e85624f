"""What real vLLM calls to make a token: its modules by forward hooks, its kernels by PyTorch's profiler.

modules     the part a module plays, the calls that a forward must make, the choice of some modules
calls       every call of every module, by hooks: shapes, dtypes, time, place, call stack; lists of them
kernels     what a kernel does, by its name (kernels.yaml), and which kernels ran, by the profiler
documents   the three tools: a prompt answered without and with tracing, and a result document of it
text        the same documents as text

torch and vLLM are imported only inside functions, so that the rest runs where they are not installed.
"""
