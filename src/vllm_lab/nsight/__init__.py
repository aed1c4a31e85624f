"""Nsight Systems: runs of vLLM and mini-vLLM captured with nsys, and what the captures contain.

metrics   the numbers that a capture gives: units, titles, definitions
capture   one run under nsys: found, run, its report imported and exported to SQLite
export    the export's tables in one form for every version of nsys, and the steps in them
document  a capture as one result document: the metrics and tables computed from the export
figures   the documents drawn

The programs that nsys watches are scripts/nsight_mini.py and scripts/nsight_vllm.py.
"""
