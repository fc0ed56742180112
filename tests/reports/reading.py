"""A page read back into its parts."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser

from redone.harness.html import unpacked


@dataclass
class Page(HTMLParser):
    """An HTML page read back.

    Attributes:
        source: The file's content.
        tags: (name, attributes) of every element.
        text: All that a reader sees, in order.
        data: (path, value, words) of every `<data>`; the path is the `data-row`, `data-task` or
            `data-stage` of the elements around it, outermost first.
        scripts: Content by id; the page's own script has "".
    """

    source: str
    tags: list = field(default_factory=list)
    text: str = ""
    data: list = field(default_factory=list)
    scripts: dict = field(default_factory=dict)

    NAMES = ("data-row", "data-task", "data-stage")
    VOID = {"meta", "input", "br", "link", "img"}

    def __post_init__(self):
        super().__init__()
        self.open = []
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag not in self.VOID:
            self.open.append((tag, attrs))
        if tag == "data":
            path = [a[n] for _, a in self.open for n in ("id", *self.NAMES) if a.get(n)]
            self.data.append([path, float(attrs["value"]), ""])

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        if tag == "script":
            self.scripts[attrs.get("id", "")] = data
        elif tag != "style":
            self.text += data
            if tag == "data":
                self.data[-1][2] += data

    def unpacked(self, name):
        return json.loads(unpacked(self.scripts[f"packed-{name}"]))

    def values(self, *path):
        """Values of the figures that stand within all of these."""
        return [value for places, value, _ in self.data if set(path) <= set(places)]

    def table(self, name):
        """A data table of the page, as records."""
        table = self.unpacked("data")["tables"][name]
        return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
