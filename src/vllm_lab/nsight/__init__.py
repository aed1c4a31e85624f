"""Nsight Systems: runs of vLLM and mini-vLLM captured with nsys, and what the captures say.

metrics     what is asked of a capture: names, units, definitions
profiled    the program that nsys watches: one run, its requests replayed twice, the second time captured
nsys        nsys found, run, its report imported and exported to SQLite
export      the export's tables, alike whichever nsys wrote them
steps       the steps of a capture, and what happened inside them
measures    the metrics computed
document    a capture as one JSON document
figures     drawn
"""
