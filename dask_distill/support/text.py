"""Numbers and tables as people read them."""

from collections.abc import Sequence


def shown_bytes(count: float) -> str:
    """A number of bytes in the unit that suits it.

    Examples
    --------
    >>> shown_bytes(900), shown_bytes(5 * 2**20)
    ('900 B', '5.0 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def left_aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells in columns, all left-aligned.

    Examples
    --------
    >>> left_aligned([("a", "int64", "x"), ("city", "string", "")])
    ['a     int64   x', 'city  string']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def shown_table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells in columns, the first one left-aligned.

    Parameters
    ----------
    lines : sequence of equally many cells

    Examples
    --------
    >>> shown_table([("a", "rows"), ("b c", "1")])
    ['a    rows', 'b c     1']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
