"""Scores of all rows as Dask arrays, with what can be done with them; knows no model."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from dask_distill.runtime.progress import Progress
from dask_distill.subset.scores_target import read_scores, write_scores
from dask_distill.support.html import facts_table


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Mapping[str, da.Array]):
    """Scores of all rows, by criterion.

    Attributes
    ----------
    table : (n, c) float32 dask array
        All criteria side by side: what computes them, once for all.
    criteria : tuple of str
        Names of its columns.
    provenance : dict
        How they came about, JSON-able.
    """

    table: da.Array
    criteria: tuple[str, ...]
    provenance: dict[str, Any]

    def __getitem__(self, name: str) -> da.Array:
        if name not in self.criteria:
            raise KeyError(name)
        return da.map_blocks(
            _column,
            self.table,
            self.criteria.index(name),
            drop_axis=1,
            dtype=np.float32,
            meta=np.empty(0, np.float32),
            name=f"score-{name}-{tokenize(self.table.name)}",
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.criteria)

    def __len__(self) -> int:
        return len(self.criteria)

    def persist(self) -> "Scores":
        """The same, computed and kept where they were made: by workers, where there are some."""
        return Scores(self.table.persist(), self.criteria, self.provenance)

    def write(
        self,
        target: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        *,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write them to a target that is there whole or not at all, by the workers, in one pass.

        Parameters
        ----------
        target : path or URL
            One that ends in ``.parquet`` becomes a folder of parquet files with columns ``_index``
            and ``_score_<criterion>``, any other a zarr group with ``score/<criterion>``.
        storage_options : mapping, optional
            For fsspec; never stored.
        overwrite : bool
            Replace scores that are there, at commit; nothing else is replaced.
        progress : Progress, optional
            Takes the chunks or files that are written.

        Returns
        -------
        dict
            ``target``, ``digest`` (of the values, the same for any chunks), ``bytes_written``, of
            parquet the number of ``files``, and ``bytes_on_the_wire`` of this call alone.

        Raises
        ------
        InputError
            Where the target exists, is the source, or cannot be written.
        """
        where = (target, storage_options, overwrite)
        return write_scores(self, self.provenance, *where, progress=progress)

    def to_frame(self) -> Any:
        """A Dask DataFrame of all criteria, a partition for each chunk.

        Returns
        -------
        dask.dataframe.DataFrame
            Its index is the row number.
        """
        import dask.dataframe as dd

        return dd.from_dask_array(self.table, columns=list(self.criteria))

    def __repr__(self) -> str:
        chunks = self.table.numblocks[0]
        return f"Scores({', '.join(self.criteria)}: {self.table.shape[0]:,} rows, {chunks} chunks)"

    def _repr_html_(self) -> str:
        return facts_table("Scores", [(name, repr(self[name])) for name in self])


@dataclass(frozen=True, eq=False, repr=False)
class StoredScores(Scores):
    """Scores that were written, each of which is read for itself."""

    arrays: dict[str, da.Array]

    def __getitem__(self, name: str) -> da.Array:
        return self.arrays[name]


def open_scores(
    target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Scores:
    """Open scores that `Scores.write` or ``dask-distill score`` has written.

    Parameters
    ----------
    target : path or URL
        Of a zarr group or a folder of parquet files: what is there tells.
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    Scores
        They stay on disk until computed, each for itself.

    Raises
    ------
    IncompleteOutput
        Where the commit marker or a part is missing.
    InputError
        Where nothing is there, or something else, such as a subset.
    """
    arrays, provenance = read_scores(target, storage_options)
    table = da.stack(list(arrays.values()), axis=1).rechunk({1: -1})
    return StoredScores(table, tuple(arrays), provenance, arrays)


def _column(table: npt.NDArray[np.float32], number: int) -> npt.NDArray[np.float32]:
    return table[:, number]
