"""OpenAI-compatible servers under load: a trace replayed over HTTP at its arrival times.

client      one replay: each request streamed, its tokens timed
measures    what a replay comes to: percentiles, goodput, throughput
counters    a server's /metrics before and after
server      vLLM's api_server, started and always stopped again
workload    the requests of a sweep, at a rate
sweep       the same requests at several rates
prediction  prefix cache hits that the sharing analysis and vLLM's own scheduler foretell
result      the document and the table
figures     latency over arrival rate
"""
