"""Texts that the example's documents have in common."""

HOSTILE = '<script>alert("x")</script></style>`|*_0'
PIXEL = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9v9z"/></svg>'
REASON = "vLLM is not installed (No module named 'vllm')"
