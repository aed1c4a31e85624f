"""What a step costs on this machine: measured on real vLLM, fitted, and tested on requests not in the fit.

measurements  the raw measurements: every step and every held-out request of every run
measure       the requests to replay, and the real runs
fit           the coefficients by least squares, the errors on the held-out requests, the document, the tables
figures       predicted against measured
"""
