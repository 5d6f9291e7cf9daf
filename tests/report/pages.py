"""A page as a browser reads it, and what every page of the house must be: whole, described, for all readers."""

import base64
import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

from PIL import Image

NOTICE = "Research software, not a medical device."


class Page(HTMLParser):
    """Tags with their attributes, the text, and which tags were left open."""

    VOID = ("meta", "link", "img")

    def __init__(self, file):
        super().__init__()
        self.source = file.read_text("utf-8")
        self.tags, self.words, self.open = [], [], []
        self.feed(self.source)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th", "dt", "dd"):
            self.words.append(" ")

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "title"):
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def picture(self, start):
        [found] = [img for img in self.all("img") if img["alt"].startswith(start)]
        return found


def svg(image):
    """The drawing of an <img>, as text."""
    kind, content = image["src"].split(";base64,")
    assert kind == "data:image/svg+xml"
    return base64.b64decode(content).decode()


def check_stands_alone(page):
    """Nothing is left open, nothing runs, and nothing is fetched."""
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("data:", "#")), (tag, name, value[:80])
    assert not re.search(r"url\(|@import", page.source)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", page.source)


def check_pictures(page, least=1):
    """Every picture can be decoded and is described."""
    assert len(page.all("img")) >= least
    for image in page.all("img"):
        assert len(image["alt"]) > 10
        kind, content = image["src"].split(";base64,")
        if kind == "data:image/svg+xml":
            assert ElementTree.fromstring(base64.b64decode(content)).tag.endswith("svg")
        else:
            Image.open(io.BytesIO(base64.b64decode(content))).load()


def check_is_built_for_readers(page):
    """Language, one title, headings without gaps, named tables and regions that a keyboard reaches, no dead link."""
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert page.text.count(NOTICE) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attributes for attributes in page.all("th"))
    targets = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(targets) == len(set(targets))
    assert {a["href"][1:] for a in page.all("a")} <= set(targets)
    scrolled = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert all(a.get("tabindex") == "0" and a.get("role") == "region" and a.get("aria-label") for a in scrolled)
    # A landmark is told from the others by its name: a section's is its title.
    named = [a["aria-label"] for a in scrolled] + re.findall(r"<h2[^>]*>([^<]*)</h2>", page.source)
    assert len(named) == len(set(named)), named
    for words in ("prefers-color-scheme: dark", "width=device-width"):
        assert words in page.source
