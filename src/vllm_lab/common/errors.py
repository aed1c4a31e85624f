"""The errors whose messages are written for the user."""


class LabError(Exception):
    """A mistake that the user can correct. The message names the file, the record or key, and the way out."""


class Unavailable(LabError):
    """A tool or hardware is missing. A rule that needs it writes `not_run` and this message."""
