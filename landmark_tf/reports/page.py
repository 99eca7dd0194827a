"""One HTML page that holds its pictures, to be sent around as one file."""

import base64
import html
from collections.abc import Iterable, Sequence

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto;
       max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd;
         text-align: left; }
td.number, th.number { text-align: right; }
img { max-width: 100%; } img.small { height: 9rem; margin: 0 .4rem .4rem 0; }
nav a { margin-right: 1rem; } .scroll { overflow-x: auto; }
.note { color: #666; font-size: .9rem; }
"""


class Page:
    """Collects sections and writes them as one page.

    Args:
        title: of the page, plain text.
    """

    def __init__(self, title: str):
        self._title = html.escape(title)
        self._sections: list[tuple[str, list[str]]] = []

    def section(self, title: str, note: str = "") -> None:
        """Begins a section; what follows belongs to it. Plain text."""
        self._sections.append((html.escape(title), []))
        if note:
            self.note(note)

    def note(self, text: str) -> None:
        """Adds a sentence, plain text."""
        self._add(f'<p class="note">{html.escape(text)}</p>')

    def picture(self, data: bytes, what: str) -> None:
        """Adds a PNG or JPEG over the page's width; `what` is for the blind."""
        self._add(f"<p>{_image(data, what)}</p>")

    def table(
        self, head: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """Adds a table; numbers stand right; bytes are a small picture."""
        rows = [list(row) for row in rows]
        kinds = [
            "number" if any(_is_number(row[i]) for row in rows) else "text"
            for i in range(len(head))
        ]
        lines = [_row("th", kinds, map(html.escape, head))]
        lines += [_row("td", kinds, map(_cell, row)) for row in rows]
        self._add(f'<div class="scroll"><table>{"".join(lines)}</table></div>')

    def text(self) -> str:
        """The whole page."""
        links = "".join(
            f'<a href="#s{i}">{title}</a>'
            for i, (title, _) in enumerate(self._sections)
        )
        body = "".join(
            f'<h2 id="s{i}">{title}</h2>{"".join(parts)}'
            for i, (title, parts) in enumerate(self._sections)
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{self._title}</title><style>{_STYLE}</style></head><body>"
            f"<h1>{self._title}</h1><nav>{links}</nav>{body}</body></html>\n"
        )

    def _add(self, part: str) -> None:
        self._sections[-1][1].append(part)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if isinstance(value, bytes):
        return _image(value, "photograph", "small")
    if isinstance(value, float):
        return "-" if value != value else f"{value:,.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return html.escape(str(value))


def _row(tag: str, kinds: Sequence[str], cells: Iterable[str]) -> str:
    inner = "".join(
        f'<{tag} class="{kind}">{cell}</{tag}>'
        for kind, cell in zip(kinds, cells)
    )
    return f"<tr>{inner}</tr>"


def _image(data: bytes, what: str, style: str = "figure") -> str:
    return (
        f'<img class="{style}" alt="{html.escape(what)}" '
        f'src="{data_url(data)}">'
    )


def data_url(data: bytes) -> str:
    """The address of a PNG or JPEG that holds the picture itself."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    text = base64.b64encode(data).decode("ascii")
    return f"data:image/{kind};base64,{text}"
