"""A subset with the verbs that write it, or give it as a table."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask_distill.runtime.progress import Progress
from dask_distill.subset import tables
from dask_distill.subset.parquet import write_parquet
from dask_distill.subset.stored import names_of, write_group
from dask_distill.subset.subset import Subset, with_columns

if TYPE_CHECKING:
    import dask.dataframe as dd


@dataclass(frozen=True, repr=False)
class WritableSubset(Subset):
    """Selected rows that can be written; see `Coreset`."""

    def to_zarr(
        self,
        target: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        *,
        columns: str | Sequence[str] | None = None,
        keep_encoded: bool = False,
        progress: Progress | None = None,
        run: str | None = None,
    ) -> dict[str, Any]:
        """Write rows, weights, scores and provenance to one zarr group, by the workers.

        Of a table every column is an array: numbers, booleans and times in their type, text, and
        decimals as text; where values may be missing, ``null/NAME`` says which are. Lists of as
        many numbers are (k, L) arrays.

        Arrays go by the names of the source. One whose name the group needs, or cannot have, gets
        an underscore (``score_``, ``km_h``), with an `InputWarning`; `open_coreset` knows its name.

        Parameters
        ----------
        target : path or URL
            Must not exist unless ``overwrite``.
        storage_options : mapping, optional
            For fsspec; never stored.
        overwrite : bool
            Replace a subset that is there, at commit.
        columns : str or sequence of str, optional
            Of a table, those that are written beside the label: names, or globs.
        keep_encoded : bool
            Of a table write the features too, the numbers that columns are read as, as ``X``.
        progress : Progress, optional
            Takes the chunks that are written.
        run : str, optional
            Names the place beside the target where it is written until the commit; what is
            written stays there if it fails.

        Returns
        -------
        dict
            ``target``, ``digest``, ``bytes_written``, and ``bytes_on_the_wire`` of this call alone
            (what is stored has those of the selection, too).

        Raises
        ------
        InputError
            Where the target exists, is the source, or cannot be written; or a column is of no type
            that zarr has: nested, or bytes.
        """
        subset = self if columns is None else with_columns(self, columns)
        names_of(subset).warn(stacklevel=2)
        how: Any = {"keep_encoded": keep_encoded, "progress": progress, "run": run}
        return write_group(subset, target, storage_options, overwrite, **how)

    def to_dataframe(self, columns: Sequence[str] | None = None) -> "dd.DataFrame":
        """The rows as a dask DataFrame, lazily; ``.compute()`` makes it a pandas one.

        Columns are the features (under their names if they came from a table, else x0, x1, …),
        the label, the carried arrays, ``weight``, ``index`` (the row number in the source), and
        ``score_<criterion>``. What has more than one axis becomes several columns. A column of the
        source that is named like another or like ours gets an underscore, with an `InputWarning`.

        Of a table they are its own columns, ``_index`` and ``_weight``. Numbers, text, times and
        categories have pandas' usual types; where these would lose something (whole numbers and
        booleans that may be missing, dates, decimals, lists and other nested values) columns keep
        Arrow's (`pandas.ArrowDtype`). Categories are without an order.

        Parameters
        ----------
        columns : sequence of str, optional
            Other names for the features; not for a table.

        Returns
        -------
        dask.dataframe.DataFrame

        Raises
        ------
        InputError
            Where names in ``columns`` do not fit, or are the same.

        Examples
        --------
        >>> import numpy as np
        >>> from dask_distill import distill
        >>> coreset = distill(np.arange(20.0).reshape(10, 2), size=2, strategy="random")
        >>> list(coreset.to_dataframe().columns)
        ['x0', 'x1', 'weight', 'index']
        """
        return tables.to_dataframe(self, columns)

    def to_parquet(
        self,
        path: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        *,
        columns: Sequence[str] | None = None,
        scores: bool = False,
        progress: Progress | None = None,
        run: str | None = None,
    ) -> dict[str, Any]:
        """Write the rows as a folder of parquet files, by the workers.

        Rows of a table keep all of its columns, with their types and the schema's metadata. Of
        plain arrays the columns are those of `to_dataframe`: features (x0, x1, …), the label, the
        carried arrays. Beside them are ``_index`` (the row number in the source), ``_weight`` and,
        where there are several subsets, ``_subset_weight`` (a list of the row's weight in each). A
        column of the source that is named like one of ours gets an underscore, with an
        `InputWarning`; those that an earlier subset brought are replaced.

        The folder is whole once it has ``_dask_distill.json``, which also holds provenance and the
        digest of every file; `open_coreset` and `verify` are for it as for zarr.

        Parameters
        ----------
        path : path or URL
            Of the folder; must not exist unless ``overwrite``. By convention it ends in
            ``.parquet``.
        storage_options : mapping, optional
            For fsspec; never stored.
        overwrite : bool
            Replace a subset that is there, at commit.
        columns : sequence of str, optional
            Of a table, those that are written beside the label: names, or globs. Of plain arrays
            other names for the features.
        scores : bool
            Whether to write ``_score_<criterion>``, too.
        progress : Progress, optional
            Takes the files that are written.
        run : str, optional
            As for `to_zarr`.

        Returns
        -------
        dict
            ``target``, ``digest`` (of the values), ``bytes_written``, the number of ``files``, and
            ``bytes_on_the_wire`` of this call alone.

        Raises
        ------
        InputError
            Where the folder exists, is the source, or cannot be written; where columns clash, or
            parquet does not have the type of one.
        """
        subset: Subset = self
        names = columns
        if columns is not None and self.table is not None:
            subset, names = with_columns(self, columns), None
        return write_parquet(
            subset,
            path,
            storage_options,
            overwrite,
            columns=names,
            scores=scores,
            progress=progress,
            run=run,
        )
