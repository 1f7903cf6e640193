"""Selected rows with what can be done with them: the verbs users call, each of a floor below."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.dataset import Dataset
from dask_distill.data.frames import is_frame
from dask_distill.data.taking import rows_in
from dask_distill.evaluation.curve_result import SizeCurve
from dask_distill.evaluation.evaluate import evaluate as judged
from dask_distill.evaluation.result import Evaluation
from dask_distill.growing.start import summary_of
from dask_distill.growing.update import grown
from dask_distill.report.page import write_report
from dask_distill.runtime.progress import Progress
from dask_distill.selection.select import SelectionWarning
from dask_distill.selection.warned import warned_after
from dask_distill.sources.frames import Given, as_named_dataset
from dask_distill.subset.several import subset_of
from dask_distill.subset.stored import open_subset
from dask_distill.subset.subset import Subset
from dask_distill.subset.writable import WritableSubset
from dask_distill.synthesis.judged import SyntheticEvaluation
from dask_distill.synthesis.run import synthesize as made
from dask_distill.synthesis.synthetic import Synthetic


@dataclass(frozen=True, repr=False)
class Coreset(WritableSubset):
    """Selected rows of a data set, with weights, and what can be done with them.

    Attributes
    ----------
    indices : (k,) int64 array
        Global row numbers, ascending, unique.
    weights : (k,) float32 array
        Finite, above 0; they sum to the number of valid rows, or to their sample weights.
    scores : dict of (k,) float32 arrays
        By criterion; empty for strategies that score nothing.
    certificate : Certificate or None
        None where it was not asked for.
    provenance : dict
        JSON-able: parameters, versions, seed, input fingerprint, rows, classes, bytes, seconds.
    features, labels, carry : dask arrays of the selected rows
        Lazy, chunks known; labels is None for an unlabelled data set.
    summary : Summary or None
        Of data that grows: what is remembered of all rows; see `update`.
    feature_name, label_name : str
        In the source. What no array of the output can be called is written under another name.
    without_nulls : frozenset of str
        Carried arrays of text in which, as is known, no value is missing.
    subset_weights : (k, N) float32 array or None
        Where several subsets were asked for: the weight of each row in each, 0 where it is not in
        it. ``weights`` are those in all rows together.
    table : Table or None
        The selected rows with all columns of the source, where that is a table.
    """

    @classmethod
    def of(cls, subset: Subset) -> "Coreset":
        """A subset with its verbs."""
        return cls(**{field.name: getattr(subset, field.name) for field in fields(subset)})

    @property
    def subsets(self) -> list[npt.NDArray[np.int64]]:
        """Row numbers in the source of each subset, ascending; of one, where no more were asked."""
        if self.subset_weights is None:
            return [self.indices]
        return [self.indices[column > 0] for column in self.subset_weights.T]

    def subset(self, number: int) -> "Coreset":
        """One of several subsets, as a coreset of its own.

        Parameters
        ----------
        number : int
            From 0.

        Returns
        -------
        Coreset
            Its weights sum to what those of all rows together do.

        Raises
        ------
        InputError
            Where there is no such subset.

        Examples
        --------
        >>> import numpy as np
        >>> from dask_distill import distill
        >>> coreset = distill(np.arange(20.0).reshape(10, 2), size=2, subsets=3, strategy="random")
        >>> len(coreset), [len(coreset.subset(number)) for number in range(3)]
        (6, [2, 2, 2])
        """
        return Coreset.of(subset_of(self, number))

    def take(self, frame: Any) -> Any:
        """These rows of what another reader gives of the same source.

        Parameters
        ----------
        frame : frame, table, Series or array
            Of pandas, polars, Arrow, dask, NumPy or Hugging Face: all rows, in file order, which
            ``indices`` count.

        Returns
        -------
        The same kind, with ``len(self)`` rows; lazy for dask, whose partitions are counted.

        Raises
        ------
        InputError
            For another number of rows than was selected from, or another kind.

        Examples
        --------
        >>> import numpy as np
        >>> from dask_distill import distill
        >>> coreset = distill(np.arange(20.0).reshape(10, 2), size=2, strategy="random")
        >>> coreset.take(np.arange(10)).tolist() == coreset.indices.tolist()
        True
        """
        return rows_in(frame, self.indices, self.provenance["input"]["shape"][0])

    def update(
        self,
        features: Any,
        labels: Any = None,
        *,
        carry: Mapping[str, Any] | None = None,
        time: Any = None,
        progress: Progress | None = None,
    ) -> "Coreset":
        """Select anew, from these rows and those that came before; old ones are not read again.

        Best begun with `dask_distill.grow`. A subset that `distill` has made remembers its own
        rows alone: they stand for all that came before, and what is chosen is as good as they are.

        Parameters
        ----------
        features : (m, d) array, DataFrame or Dataset
            More rows, with the columns and types of those before.
        labels : (m,) array, optional
            Where those before have labels.
        carry : dict of (m, ...) arrays, optional
            The same names as before.
        time : (m,) array or str, optional
            As for `distill`.
        progress : Progress, optional

        Returns
        -------
        Coreset
            Of all rows that have come, numbered in that order. This one stays as it is.

        Raises
        ------
        InputError
            Where the rows do not fit those before, or the strategy cannot follow.

        References
        ----------
        As for `dask_distill.grow`.

        Examples
        --------
        >>> import numpy as np
        >>> from dask_distill import grow
        >>> coreset = grow(np.arange(20.0).reshape(10, 2), size=2, strategy="random")
        >>> coreset.update(np.arange(20.0, 40.0).reshape(10, 2)).provenance["rows"]
        20
        """
        summary = summary_of(self)
        # a frame of numbers alone is a table, too, where those before were
        before = None if summary.dataset is None else summary.dataset.table
        read: dict[str, str] | None = {} if before is not None and is_frame(features) else None
        given = Given(features=features, labels=labels, carry=carry, time=time, columns=read)
        found = grown(summary, as_named_dataset(given), progress=progress)
        for line in warned_after(found.provenance):
            warnings.warn(line, SelectionWarning, stacklevel=2)
        return Coreset.of(found)

    def evaluate(self, features: Any, labels: Any = None, **options: Any) -> Evaluation:
        """Measure what training on these rows costs, against random ones and everything.

        Parameters
        ----------
        features : Dataset, (n, d) array, or pair of features and labels
            What the rows were selected from.
        labels : (n,) array, optional
        **options
            Of `dask_distill.evaluation.evaluate.evaluate`: test, models, seeds, test_rows,
            max_rows, everything, seed, time, sample_weight.

        Returns
        -------
        Evaluation
        """
        return judged(self, features, labels, **options)

    def synthesize(self, **options: Any) -> Synthetic:
        """Make rows that are like these and are none of them; see `dask_distill.synthesize`.

        Parameters
        ----------
        **options
            Of `dask_distill.synthesize`: method, size, fraction, per_class, balance, options,
            seed, max_rows, progress.

        Returns
        -------
        Synthetic
        """
        return made(self, **options)

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        dataset: Dataset | None = None,
        evaluation: Evaluation | None = None,
        curve: SizeCurve | None = None,
        synthetic: SyntheticEvaluation | None = None,
    ) -> None:
        """Write one self-contained HTML file on what was selected, from what, and how well.

        Parameters
        ----------
        path : path
            A file that is there is replaced.
        dataset : Dataset, optional
            What was selected from: a sample of it is shown behind the selected rows.
        evaluation : Evaluation, optional
            Of `evaluate`.
        curve : SizeCurve, optional
            Of `dask_distill.size_curve`.
        synthetic : SyntheticEvaluation, optional
            Of synthetic rows that were made from this subset.
        """
        write_report(
            self, path, dataset=dataset, evaluation=evaluation, curve=curve, synthetic=synthetic
        )


def open_coreset(
    target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Coreset:
    """Open a subset that `Coreset.to_zarr`, `to_parquet` or ``dask-distill run`` has written.

    Parameters
    ----------
    target : path or URL
        Of a zarr group or a folder of parquet files: what is there tells.
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    Coreset
        Features, labels, carried arrays and the table stay on disk until computed. Of parquet,
        scores are those that were written.

    Raises
    ------
    IncompleteOutput
        Where the commit marker or a part is missing.
    InputError
        Where nothing is there, or something else.
    """
    return Coreset.of(open_subset(target, storage_options))
