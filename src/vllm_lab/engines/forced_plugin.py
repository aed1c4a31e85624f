"""The forced-tokens processor as `--logits-processors vllm_lab.engines.forced_plugin:ForcedTokens` names it.

Only vLLM's own processes import this: the class needs vLLM's base class to exist.
"""

from vllm_lab.engines.forced import forced_tokens_processor

ForcedTokens = forced_tokens_processor()
