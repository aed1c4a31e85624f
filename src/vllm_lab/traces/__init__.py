"""From conversations to traces: chat template, token streams, arrivals, selection, import of others'
traces."""
