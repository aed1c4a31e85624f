"""vLLM's own scheduler and KV cache manager in virtual time: the oracle that mini_vllm is held against.

With `vllm_lab.engines` the only folder that imports vLLM, and only inside functions, so that all else runs
where it is not installed.
"""
