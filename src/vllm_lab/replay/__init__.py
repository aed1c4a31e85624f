"""Traces replayed in virtual time, by mini_vllm and by vLLM's own scheduler, and what they show."""
