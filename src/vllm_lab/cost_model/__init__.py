"""The cost model of a step, fitted to real vLLM on this machine and tried on requests it has not seen.

workload   which requests are replayed: those to fit to, and those held out
measure    the real runs
fit        coefficients by least squares, and what they leave over
heldout    the same requests in virtual time, and how far that is from what was measured
result     the tables and documents that tell of all this
figures    predicted against measured
"""
