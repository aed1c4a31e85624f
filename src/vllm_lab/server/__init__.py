"""An OpenAI-compatible server on mini-vLLM, in real time: vLLM's decisions without a model.

live      one of mini-vLLM's engines in real time: requests come and go, each step takes its time; /metrics
texts     text to tokens and back, with a tokenizer or without; the output that each prompt gets
protocol  requests and replies in the form that OpenAI's clients write and read
app       the routes
"""
