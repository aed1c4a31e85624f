"""From conversations to traces: chat template, token streams, selection, arrivals; formats in and out."""
