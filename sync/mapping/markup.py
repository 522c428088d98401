"""Converts HTML to plain text in one pass, so that no input takes more than linear time."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]*)(?=[\s/>])")
_BLANKS = re.compile(r"[ \t\r\n\f\u00a0]+")
_FARTHEST_QUOTE = 2000
_HIDDEN = frozenset({"script", "style", "head", "title", "template"})
_CELLS = frozenset({"td", "th"})
_LINES = (
    "address|article|aside|blockquote|center|dd|div|dl|dt|fieldset|figure|footer|form|h[1-6]|header|hr|li|main|nav|ol"
)
_BLOCK = re.compile(f"(?:{_LINES}|option|p|pre|section|table|tbody|tfoot|thead|tr|ul)")
"""Tags that begin a line."""


def html_to_text(text: str) -> str:
    """Return the text of HTML: tags and comments taken out, `&amp;` read as &, a line end for each paragraph and
    `<br>`."""
    written = _Lines()
    at, tags, closed = 0, 0, True
    while (start := text.find("<", at)) >= 0 and closed:
        if text.startswith("<!--", start):
            end = text.find("-->", start)
            closed = end >= 0
            name, after = "", end + 3
        else:
            found = _TAG.match(text, start)
            name = found[1].lower() if found else ""
            if not found and not text.startswith(("<!", "<?"), start):
                written.text(text[at : start + 1])  # a lone < is text
                at = start + 1
                continue
            end = _end_of_tag(text, start)
            closed, after = end >= 0, end + 1
        if not closed:
            break
        tags += 1
        written.text(text[at:start])
        at = _behind_hidden(text, name, start, after)
        written.tag(name)
    written.text(text[at:])
    return written.done() if tags else html.unescape(text)


def _end_of_tag(text: str, start: int) -> int:
    """Return the position of the tag's closing >, skipping those inside quotes; -1 if there is none."""
    end = text.find(">", start)
    # An odd number of quotes before the > means that it lies inside a quoted attribute.
    for quote in "\"'":
        if end >= 0 and text.count(quote, start, end) % 2:
            other = text.find(quote, end, start + _FARTHEST_QUOTE)
            if other >= 0:
                end = text.find(">", other)
    return end


def _behind_hidden(text: str, name: str, start: int, after: int) -> int:
    """Return the position after the content of a script or style, which browsers do not show; the text's end if it is
    never closed."""
    if name not in _HIDDEN or text[start + 1] == "/":
        return after
    found = re.compile(f"</{name}\\s*>", re.IGNORECASE).search(text, after)
    return found.end() if found else len(text)


class _Lines:
    """Collects the text so far and collapses white space as a browser does."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._at_start = True

    def text(self, part: str) -> None:
        if not part:
            return
        seen = _BLANKS.sub(" ", html.unescape(_BLANKS.sub(" ", part)))
        if self._at_start:
            seen = seen.lstrip(" ")
        if seen:
            self._parts.append(seen)
            self._at_start = False

    def tag(self, name: str) -> None:
        if name == "br" or (not self._at_start and _BLOCK.fullmatch(name)):
            self._parts.append("\n")
            self._at_start = True
        elif name in _CELLS and not self._at_start:
            self._parts.append(" ")

    def done(self) -> str:
        lines = [_BLANKS.sub(" ", line).strip() for line in "".join(self._parts).split("\n")]
        return re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip()
