"""The benchmark plan (docs/plan.md): real engines measured, test by test.

tests         the table of all tests
job           what all jobs share: flags, requests, settings, documents
sides         what tests of two engines in turns share
basics        1.1 to 1.3: throughput, latency and memory of one engine
prefix_cache  2.1: the prefix cache off and on
pairs         2.2 to 2.4: another optimisation off and on
scaling       3.1 to 3.3: one device and more
code_quality  4: the code's own size
figures       the runs of a test
"""
