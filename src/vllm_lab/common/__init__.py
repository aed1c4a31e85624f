"""What all stages share: errors, files, the console, the host, figures, statistics, metrics."""
