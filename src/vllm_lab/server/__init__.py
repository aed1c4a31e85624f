"""An OpenAI-compatible server on mini-vLLM, in real time: vLLM's decisions without a model.

live      one of mini-vLLM's engines in real time: requests come and go, each step takes its time; /metrics
protocol  requests and replies in the form of OpenAI's clients; text to tokens and back; each prompt's output
__main__  the command and the routes
"""
