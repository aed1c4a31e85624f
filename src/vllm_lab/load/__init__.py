"""OpenAI-compatible servers under load: the requests of a trace are sent over HTTP at their arrival times.

sweep         starts vLLM's api_server, sends requests at several rates, times the streamed tokens
measurements  the raw measurements: every request of every replay
result        percentiles, goodput and throughput; the result document, with the predictions; the table
figures       latency over the arrival rate
"""
