"""v1: a list stands for GPU memory, first come first served, and no way back when memory runs out."""
