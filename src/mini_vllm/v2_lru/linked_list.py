"""A doubly linked list with a hash map into it: each operation takes the same time in a list of any length.

Mirrors vllm/v1/core/kv_cache_utils.py::FreeKVCacheBlockQueue, which keeps the links in the blocks themselves.
"""

from collections.abc import Hashable


class Link:
    """One key of the list between its two neighbours."""

    __slots__ = ("after", "before", "key")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.before = self.after = self


class LinkedList:
    """Distinct keys in order. The list is a ring: `end` is the link before the first and after the last key,
    so no key is a special case. The hash map `links` finds the link of a key without a walk."""

    def __init__(self) -> None:
        self.end = Link(None)
        self.links: dict[Hashable, Link] = {}

    def append(self, key: Hashable) -> None:
        """Put a new key at the back."""
        link = self.links[key] = Link(key)
        link.before, link.after = self.end.before, self.end
        link.before.after = link.after.before = link

    def remove(self, key: Hashable) -> None:
        """Take a key out, at whatever place. KeyError if it is not in the list."""
        link = self.links.pop(key)
        link.before.after, link.after.before = link.after, link.before

    def first(self) -> Hashable:
        """The key at the front; None if the list is empty."""
        return self.end.after.key

    def __contains__(self, key: Hashable) -> bool:
        return key in self.links
