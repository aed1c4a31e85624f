"""OpenAI-compatible servers under load: the requests of a trace are sent over HTTP at their arrival times.

server        starts vLLM's api_server and always stops it again
client        sends requests, times their streamed tokens, reads a server's counters; a sweep over rates
measurements  the raw measurements: every request of every replay
metrics       percentiles, goodput and throughput of one replay
result        the result document, with the predictions, and the table of requests
figures       latency over the arrival rate
"""
