"""Numbers as people read them."""


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
