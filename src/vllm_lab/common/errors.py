"""The errors that a user is meant to read."""


class LabError(Exception):
    """Something the user can mend. The message names the file, the record or key, and the way out."""


class Unavailable(LabError):
    """A tool or hardware that is not here. A rule that needs it writes `not_run` and this message."""
