"""The laboratory: data, traces, sharing analysis, provenance and report around mini-vLLM and real vLLM."""

__version__ = "0.1.0"
