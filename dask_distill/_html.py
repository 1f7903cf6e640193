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
    caption = f'<caption style="text-align:left"><b>{escape(title)}</b></caption>'
    return f"<table>{caption}<tbody>{rows}</tbody></table>"
