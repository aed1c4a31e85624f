"""The benchmark plan (docs/plan.md): real engines measured, test by test.

`tests` is the table of all tests. The other modules hold what a test measures, each for one kind of test.
"""
