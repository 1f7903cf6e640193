"""What notebooks show: a small table, everything in it escaped."""

from collections.abc import Iterable
from html import escape


def facts_table(title: str, facts: Iterable[tuple[str, object]]) -> str:
    """A caption and rows of name and value, as HTML.

    Examples
    --------
    >>> facts_table("A & B", [("rows", 3)])[:47]
    '<table><caption style="text-align:left"><b>A &a'
    """
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in facts
    )
    return f"<table>{_caption(title)}<tbody>{rows}</tbody></table>"


def plain_table(title: str, head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A caption, a head and lines of cells, as HTML.

    Examples
    --------
    >>> plain_table("", ["<a>"], [["1"]])[:53]
    '<table><thead><tr><th scope="col">&lt;a&gt;</th></tr>'
    """
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines
    )
    return f"<table>{_caption(title)}<thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"


def folded(title: str, content: str) -> str:
    """HTML that is seen once it is unfolded.

    Examples
    --------
    >>> folded("More & more", "<p>text</p>")
    '<details><summary>More &amp; more</summary><p>text</p></details>'
    """
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def paragraph(text: str, *, strong: bool = False) -> str:
    """Text as HTML.

    Examples
    --------
    >>> paragraph("a < b", strong=True)
    '<p><b>a &lt; b</b></p>'
    """
    return f"<p><b>{escape(text)}</b></p>" if strong else f"<p>{escape(text)}</p>"


def _caption(title: str) -> str:
    if not title:
        return ""
    return f'<caption style="text-align:left"><b>{escape(title)}</b></caption>'
