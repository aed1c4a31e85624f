"""What can go wrong, each with its name."""


class MiniError(Exception):
    """Something the user can correct. The message names the file, the record or the flag, and the way out."""


class OutOfBlocks(Exception):
    """v1 asked for a block when no block was free. Where vLLM preempts, v1 stops."""
