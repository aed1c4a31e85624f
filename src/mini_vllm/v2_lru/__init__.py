"""v2: when memory runs out, the least recently scheduled request gives its blocks back and starts over."""
