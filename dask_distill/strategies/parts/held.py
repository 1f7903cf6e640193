"""Conversations whose questions know what to do with them: one class a step, in order.

What the coverage strategies share: the state of a block, rows on their way, chosen centers.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.frontier import Frontier
from dask_distill.kernels.nearest import nearest_center, update_squared_distances
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import SideBySide
from dask_distill.survey.schema import Schema

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Features = npt.NDArray[np.floating]
State = TypeVar("State")


@dataclass(frozen=True, eq=False, kw_only=True)
class Held:
    """A block's memory: its rows in the metric space, and how far the steps have come.

    Attributes
    ----------
    number : int
    rows : (m,) int64 array
        Global row numbers, ascending.
    X : (m, d) float array
    codes : (m,) int32 array or None
    traversal : FarthestFirst or None
        Of this block alone.
    front, front_rows : Frontier, (f,) int64 array, or None
        Bounds of the rows that take part in a traversal over all blocks, and their numbers.
    nearest, squared : (m,) int64, (m,) float64 arrays, or None
        Position of each row's nearest center, and the squared distance to it.
    mass : (m,) float64 array or None
        As in a `Block`.
    """

    number: int
    rows: Rows
    X: Features
    codes: npt.NDArray[np.int32] | None
    traversal: FarthestFirst | None = None
    front: Frontier | None = None
    front_rows: Rows | None = None
    nearest: Rows | None = None
    squared: Floats | None = None
    mass: Floats | None = None

    @classmethod
    def of(cls, block: Block, space: MetricSpace) -> Self:
        """Bring a block where distances are what was asked for."""
        return cls(
            number=block.number,
            rows=block.rows,
            X=space(block.X),
            codes=block.codes,
            mass=block.mass,
        )

    @classmethod
    def taken(cls, state: "Block | Held", space: MetricSpace) -> "Held":
        """A block, brought there; what is held already stays as it is."""
        return cls.of(state, space) if isinstance(state, Block) else state

    @classmethod
    def joined(cls, blocks: list[Block], space: MetricSpace) -> Self:
        """Neighbouring blocks as one; they are taken from the list, so that none is held twice."""
        number, rows = blocks[0].number, np.concatenate([block.rows for block in blocks])
        codes = [block.codes for block in blocks if block.codes is not None]
        together = np.concatenate(codes) if codes else None
        masses = [block.mass for block in blocks if block.mass is not None]
        mass = np.concatenate(masses) if masses else None
        part = space(blocks.pop(0).X)
        X, at = np.empty((len(rows), part.shape[1]), part.dtype), 0
        while True:
            # the user's function may give other types in other blocks; what is not yet filled is
            # no number, and is not cast
            if (dtype := np.result_type(X, part)) != X.dtype:
                filled, X = X[:at], np.empty(X.shape, dtype)
                X[:at] = filled
            X[at : at + len(part)] = part
            at += len(part)
            if not blocks:
                return cls(number=number, rows=rows, X=X, codes=together, mass=mass)
            part = space(blocks.pop(0).X)

    def restart(self, picks: Rows | None) -> Self:
        """Let some rows, or all, take part in a traversal over all blocks; forget our own."""
        X, rows = (self.X, self.rows) if picks is None else (self.X[picks], self.rows[picks])
        front = Frontier.of(np.ascontiguousarray(X))
        return replace(self, traversal=None, front=front, front_rows=rows)

    @property
    def assigned(self) -> tuple[Rows, Floats]:
        """Position of each row's nearest center, and the squared distance to it.

        Raises
        ------
        RuntimeError
            Before a step has measured any.
        """
        if self.nearest is None or self.squared is None:
            raise RuntimeError("the block must know centers first, got none")
        return self.nearest, self.squared

    @property
    def taking_part(self) -> tuple[Frontier, Rows]:
        """Bounds of the rows in a traversal over all blocks, and their numbers.

        Raises
        ------
        RuntimeError
            Before there is one.
        """
        if self.front is None or self.front_rows is None:
            raise RuntimeError("the block must be in a traversal first, got none")
        return self.front, self.front_rows

    def weighed(self, values: Floats) -> Floats:
        """Values of the rows, each as often as the row stands for one."""
        return values if self.mass is None else values * self.mass

    def given(self, space: Any = None) -> dict[str, npt.NDArray[Any] | None]:
        """What a journal need not write."""
        return {"rows": self.rows, "codes": self.codes, "X": self.X, "mass": self.mass}


@dataclass(frozen=True)
class Pool(SideBySide):
    """Rows on their way to the coordinator.

    Attributes
    ----------
    rows : (p,) int64 array
    X : (p, d) float array
    squared : (p,) float64 array
        Squared distances to the centers, or what the rows weigh.
    """

    rows: Rows
    X: Features
    squared: Floats

    def sorted(self) -> "Pool":
        """In ascending row order: the same whoever came first."""
        order = np.argsort(self.rows)
        return Pool(self.rows[order], self.X[order], self.squared[order])


def with_nearest(state: State, centers: Features, known: int | None = None) -> State:
    """A state whose rows know which center is nearest, and how far it is: exactly, every row.

    Parameters
    ----------
    state : dataclass with ``X``, ``nearest`` and ``squared``
    centers : (k, d) float array
    known : int, optional
        So many of the centers, the first, are those that the rows know already; if given, they
        are compared with the others alone.
    """
    held: Any = state
    if known is None:
        nearest, squared = nearest_center(held.X, centers)
    else:
        nearest, squared = held.nearest.copy(), held.squared.copy()
        update_squared_distances(held.X, squared, centers[known:], nearest=nearest, first=known)
    made: State = replace(held, nearest=nearest, squared=squared)
    return made


def chosen_before(schema: Schema, space: MetricSpace) -> Pool | None:
    """Rows that are chosen before the strategy begins, where distances are what was asked for."""
    if schema.chosen is None:
        return None
    rows = schema.chosen.rows
    return Pool(rows, space(schema.chosen.X), np.zeros(len(rows)))


@dataclass(frozen=True)
class OrderedCenters:
    """Centers in the order of choice, with the squared radius at which each was picked.

    ``fresh`` holds the features of the last ones, which the blocks do not know yet.
    """

    rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    squared_radii: Floats = field(default_factory=lambda: np.empty(0))
    fresh: Features = field(default_factory=lambda: np.empty((0, 0)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def known(self) -> int:
        """How many the blocks know."""
        return len(self.rows) - len(self.fresh)

    @classmethod
    def before(cls, initial: Pool) -> "OrderedCenters":
        """Centers that were there before a traversal began: none was picked at a radius."""
        return cls(initial.rows, np.full(len(initial.rows), np.inf), initial.X)

    def joined(self, others: "OrderedCenters") -> "OrderedCenters":
        """And others; the blocks know neither."""
        return OrderedCenters(
            np.concatenate([self.rows, others.rows]),
            np.concatenate([self.squared_radii, others.squared_radii]),
            np.concatenate([self.fresh, others.fresh]),
        )

    def plus(self, pool: Pool, traversal: FarthestFirst) -> "OrderedCenters":
        """And the picks of a traversal of a pool."""
        picks = traversal.indices
        return OrderedCenters(
            np.concatenate([self.rows, pool.rows[picks]]),
            np.concatenate([self.squared_radii, traversal.squared_radii]),
            np.ascontiguousarray(pool.X[picks]),
        )


class Aim(Protocol):
    """What a traversal is for."""

    @property
    def picks(self) -> int:
        """Centers wanted of the merge."""

    @property
    def same(self) -> float:
        """Squared distance within which rows are one point."""

    def after(self, chosen: OrderedCenters, rounds: int, moved: int) -> Any:
        """The step that follows when they are chosen, in so many rounds of so many rows."""
