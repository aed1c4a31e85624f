"""Pages of docs/ that are generated from the code and the configuration."""
