"""A doubly linked list with a hash map into it: every operation takes the same time however long it is.

Mirrors vllm/v1/core/kv_cache_utils.py::FreeKVCacheBlockQueue, which keeps the links in the blocks themselves.
"""

from collections.abc import Hashable, Iterator


class LinkedList:
    """Distinct keys in order, the front first. A link is [before, key, after]."""

    def __init__(self) -> None:
        self.end: list = []  # stands before the first and after the last link, so no link is a special case
        self.end[:] = [self.end, None, self.end]
        self.links: dict[Hashable, list] = {}

    def append(self, key: Hashable) -> None:
        """Put a new key at the back."""
        self._insert(key, self.end[0], self.end)

    def prepend(self, key: Hashable) -> None:
        """Put a new key at the front."""
        self._insert(key, self.end, self.end[2])

    def remove(self, key: Hashable) -> None:
        """Take a key out, wherever it is. KeyError if it is not in the list."""
        before, _, after = self.links.pop(key)
        before[2] = after
        after[0] = before

    def popleft(self) -> Hashable:
        """Take out the key at the front. KeyError if the list is empty."""
        key = self.end[2][1]
        self.remove(key)
        return key

    def _insert(self, key: Hashable, before: list, after: list) -> None:
        before[2] = after[0] = self.links[key] = [before, key, after]

    def __len__(self) -> int:
        return len(self.links)

    def __contains__(self, key: Hashable) -> bool:
        return key in self.links

    def __iter__(self) -> Iterator[Hashable]:
        link = self.end[2]
        while link is not self.end:
            yield link[1]
            link = link[2]
