"""Our traces in the formats of other tools, each with the command that reads it."""
