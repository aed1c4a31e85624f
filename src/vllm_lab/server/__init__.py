"""An OpenAI-compatible server on mini-vLLM, in real time: vLLM's decisions without its model.

live        one of mini-vLLM's engines, its requests coming and going, its steps slept through
texts       text to token ids and back, with a tokenizer or without
answers     what a prompt is answered with
protocol    requests and answers as OpenAI's clients write and read them
telemetry   /metrics under vLLM's names
app         the routes
"""
