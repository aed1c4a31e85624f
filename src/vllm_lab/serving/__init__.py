"""OpenAI-compatible servers under load: a trace replayed over HTTP at its arrival times.

client      one replay: each request streamed, its tokens timed
measures    what a replay comes to: percentiles, goodput, throughput
counters    a server's /metrics before and after
"""
