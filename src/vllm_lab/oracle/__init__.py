"""vLLM's own scheduler and KV cache manager in virtual time: the oracle that mini_vllm is compared with.

Importing these modules does not import vLLM. They import it inside functions, so that all else runs where it
is not installed.
"""
