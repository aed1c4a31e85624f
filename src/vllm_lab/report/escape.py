"""Text made safe for Markdown."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~!&$])")


def escape(words: str) -> str:
    """Text that Markdown shows as it is, on one line; no HTML, no link, no table cell can come of it."""
    return _SPECIAL.sub(r"\\\1", " ".join(words.split()))
