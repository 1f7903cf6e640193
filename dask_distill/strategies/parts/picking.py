"""How `auto` picks the row that stands for a cell."""

from dataclasses import dataclass, replace

# rows selected at which half of the change is made, if cells are large; up to so many rows they are
# small, and their middle is as good as all of them
_ROWS, _SMALL = 2000, 5
# choices that are left at last, and half way there as many and these
_FEWEST, _MORE = 2, 4


@dataclass(frozen=True)
class Picking:
    """From which part of a cell a row is picked, and from how many rows there.

    Few rows serve best from the middle of their cells, where the data is dense. Of many, models
    learn the outskirts of classes, too, which must not be lacking: the middles of large cells do.

    Attributes
    ----------
    near : float
        The part of a cell, nearest to its mean.
    choices : int or None
        Rows, drawn over all distances, of which that is taken that makes up best for others; None
        for all of the part.
    """

    near: float
    choices: int | None

    @classmethod
    def of(cls, pick: float | str, size: int, n: int) -> "Picking":
        """As an option has it: a number, or what suits so many rows of n.

        Examples
        --------
        >>> Picking.of("auto", 1000, 4000)
        Picking(near=0.5, choices=None)
        >>> Picking.of("auto", 10_000, 1_000_000)
        Picking(near=0.8958333333333333, choices=3)
        >>> Picking.of(0.7, 500, 5000)
        Picking(near=0.7, choices=None)
        """
        if not isinstance(pick, str):
            return cls(pick, None)
        far = size / (size + _ROWS) * max(0.0, 1 - _SMALL * size / n)
        if far == 0:
            return cls(0.5, None)
        return cls(0.5 + 0.5 * far, _FEWEST + int(_MORE * (1 - far) / far))

    def within(self, local: bool) -> "Picking":
        """Candidates may be any row of their cells, since their pool is cut once more."""
        return self if local else replace(self, near=1.0)
