"""A page's elements, for tests that ask what it shows."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects start tags with their attributes, and all text outside script and style."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data

    def with_class(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of the elements of a class."""
        return [found for _, found in self.tags if name in (found.get("class") or "").split()]

    def by_id(self) -> dict[str, dict[str, str | None]]:
        """Element id -> attributes."""
        return {found["id"]: found for _, found in self.tags if "id" in found}
