"""The errors that a user is meant to read."""


class LabError(Exception):
    """Something the user can mend. The message names the file, the record or key, and the way out."""


class NotInstalled(LabError):
    """A package or tool that this machine lacks: what needs it is not run, and this is the reason."""
