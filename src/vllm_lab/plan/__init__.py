"""The benchmark plan: real vLLM measured, test by test, each with its runs, its method and its verification.

result        a test's definition and the document that tells of it
statistics    mean, confidence interval and spread of repeated runs
repeats       runs repeated until they agree, and what the machine did beside them
workload      the requests
worker        an engine in a process of its own
phases        prefill and decode apart, from the engine's own steps
basics        throughput, latency and memory
memory        what a process and its tensors hold, and what the model's shape says
pairs         one workload with an optimisation off and on, in turns
prefix_cache  the pair of that name, its hits held against the sharing analysis
code_quality  mini_vllm's own code, counted by radon
figures       the runs as points
"""
