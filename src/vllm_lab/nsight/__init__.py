"""Nsight Systems: runs of vLLM and mini-vLLM captured with nsys, and what the captures say.

metrics     what is asked of a capture: names, units, definitions
"""
