"""A task that reads rows, and can be told to read only some of them."""

from typing import Any


class RowReader:
    """A task of a source: it reads rows, and can be told to read only some of them."""

    @property
    def most_readers(self) -> int | None:
        """Tasks that may each read a part; None where a part costs no more than its rows."""
        return None

    def __call__(self) -> Any:
        """Read, on a worker."""
        raise NotImplementedError

    def part(self, start: int, stop: int) -> "RowReader":
        """Reads rows from ``start`` to ``stop`` of these."""
        raise NotImplementedError

    @property
    def compacted(self) -> "RowReader | None":
        """Reads the same rows in a smaller form, a `CompactRows`; None where there is none."""
        return None

    def followed_by(self, other: "RowReader") -> "RowReader | None":
        """Reads these rows and then those in one go; None where they are not one run."""
        return None
