"""What a selection gives: the rows, their weights and scores, and how they came about."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill import store
from dask_distill._html import facts_table
from dask_distill._location import Location
from dask_distill._manifest import SYNTHETIC
from dask_distill.errors import InputError
from dask_distill.progress import Progress, countdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.dataframe as dd

    from dask_distill.checkpoint import Checkpoint
    from dask_distill.dataset import Dataset
    from dask_distill.evaluation import Evaluation
    from dask_distill.growing import Summary
    from dask_distill.sizes import SizeCurve
    from dask_distill.synthesis import Synthetic, SyntheticEvaluation


@dataclass(frozen=True)
class Certificate:
    """How well the selected rows cover all rows, and what is proven about it.

    Attributes
    ----------
    radius : float
        Covering radius: the largest distance of any row to its nearest selected row, measured
        over all rows.
    lower_bound : float
        No choice of as many centers, anywhere in space, has a smaller covering radius.
    ratio : float
        radius / lower_bound: the selection is at most this much worse than the best possible.
    random_radius : float or None
        Covering radius of a uniform random subset of the same size; None where it is not known.
    metric : str
    space : str
        "features", or the reduction in whose space the distances are.
    measured : bool
        Whether ``radius`` was measured. Of data that grew it is a bound: no row is farther.
    """

    radius: float
    lower_bound: float
    ratio: float
    random_radius: float | None
    metric: str = "euclidean"
    space: str = "features"
    measured: bool = True

    @classmethod
    def of(
        cls, radius: float, lower_bound: float, random_radius: float | None, **more: Any
    ) -> "Certificate":
        """With the ratio that follows."""
        ratio = radius / lower_bound if lower_bound > 0 else (1.0 if radius == 0 else np.inf)
        return cls(radius, lower_bound, ratio, random_radius, **more)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Coreset:
    """Selected rows of a data set, with weights.

    Attributes
    ----------
    indices : (k,) int64 array
        Global row numbers, ascending, unique.
    weights : (k,) float32 array
        Finite, above 0; they sum to the number of valid rows.
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
    """

    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    scores: dict[str, npt.NDArray[np.float32]]
    certificate: Certificate | None
    provenance: dict[str, Any]
    features: da.Array = field(repr=False)
    labels: da.Array | None = field(repr=False, default=None)
    carry: dict[str, da.Array] = field(repr=False, default_factory=dict)
    feature_name: str = "X"
    label_name: str = "y"
    summary: "Summary | None" = field(repr=False, default=None)

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        rows = self.provenance.get("rows", 0)
        share = f", {len(self) / rows:.1%} of {rows:,}" if rows else ""
        strategy = self.provenance.get("parameters", {}).get("strategy", "?")
        return f"Coreset({len(self):,} rows{share}, strategy={strategy!r})"

    def _repr_html_(self) -> str:
        told = self.provenance
        facts: list[tuple[str, object]] = [
            ("rows", f"{len(self):,} of {told.get('rows', 0):,}"),
            ("strategy", told.get("parameters", {}).get("strategy", "?")),
            (self.feature_name, f"{self.features.shape} {self.features.dtype}"),
        ]
        if self.labels is not None:
            facts.append((self.label_name, f"{self.labels.shape} {self.labels.dtype}"))
        facts += [(name, f"{array.shape} {array.dtype}") for name, array in self.carry.items()]
        for entry in (told.get("classes") or [])[:10]:
            amount = f"{entry['selected']:,} of {entry['rows']:,}"
            facts.append((f"class {entry['label']}", amount))
        if self.certificate is not None:
            facts.append(("covering radius", f"{self.certificate.radius:.4g}"))
        return facts_table("Coreset", facts)

    def to_zarr(
        self,
        target: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        *,
        progress: Progress | None = None,
        checkpoint: "Checkpoint | None" = None,
        run: str | None = None,
    ) -> dict[str, Any]:
        """Write rows, weights, scores and provenance to one zarr group, by the workers.

        Parameters
        ----------
        target : path or URL
            Must not exist unless ``overwrite``.
        storage_options : mapping, optional
            For fsspec; never stored.
        overwrite : bool
            Replace a subset that is there, at commit.
        progress : Progress, optional
            Takes the chunks that are written.
        checkpoint : Checkpoint, optional
            Of a run that may be resumed: chunks that are written stay, and are used again.
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
            Where the target exists, is the source, or cannot be written.
        """
        from dask_distill.rounds import active_client
        from dask_distill.wire import joined, measured

        options = dict(storage_options or {})
        sources = self.provenance.get("input", {}).get("sources", [])
        store.check_target(target, overwrite=overwrite, storage_options=options, sources=sources)
        rows = {self.feature_name: self.features}
        if self.labels is not None:
            rows[self.label_name] = self.labels
        rows |= self.carry
        rows["index"] = da.from_array(self.indices, chunks=-1)
        rows["weight"] = da.from_array(self.weights, chunks=-1)
        for name, values in self.scores.items():
            rows[f"score/{name}"] = da.from_array(values, chunks=-1)
        if self.summary is not None:
            rows |= self.summary.arrays()
        attributes = {
            "provenance": self.provenance,
            "certificate": None if self.certificate is None else self.certificate.as_dict(),
            "names": {
                "features": self.feature_name,
                "labels": None if self.labels is None else self.label_name,
                "carry": list(self.carry),
            },
        }
        if self.summary is not None:
            attributes["growing"] = self.summary.attributes()
        if checkpoint is not None:
            run = checkpoint.run
            attributes["request"] = {
                **checkpoint.request,
                "fingerprint": checkpoint.fingerprint,
            }
        with measured(active_client()) as wire:

            def amend(attributes: dict[str, Any]) -> dict[str, Any]:
                wire.mark("write")
                told = attributes["provenance"]
                sent = joined(told.get("bytes_on_the_wire"), wire.figures())
                return {**attributes, "provenance": told | {"bytes_on_the_wire": sent}}

            receipt = store.write(
                target,
                rows,
                attributes,
                overwrite=overwrite,
                storage_options=options,
                on_chunk=None if progress is None else countdown("write", progress),
                run=run,
                amend=amend,
                compared=list(self.carry),
            )
        return receipt | {"bytes_on_the_wire": wire.figures()}

    def to_dataframe(self, columns: "Sequence[str] | None" = None) -> "dd.DataFrame":
        """The rows as a dask DataFrame, lazily; ``.compute()`` makes it a pandas one.

        Columns are the features (under their names if they came from a table, else x0, x1, …),
        the label, the carried arrays, ``weight``, ``index`` (the row number in the source), and
        ``score_<criterion>``. What has more than one axis becomes several columns.

        Parameters
        ----------
        columns : sequence of str, optional
            Other names for the features.

        Returns
        -------
        dask.dataframe.DataFrame

        Raises
        ------
        InputError
            Where two columns would have the same name.

        Examples
        --------
        >>> from dask_distill import distill
        >>> coreset = distill(np.arange(20.0).reshape(10, 2), size=2, strategy="random")
        >>> list(coreset.to_dataframe().columns)
        ['x0', 'x1', 'weight', 'index']
        """
        from dask_distill.tables import to_dataframe

        return to_dataframe(self, columns)

    def to_parquet(
        self,
        path: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        *,
        columns: "Sequence[str] | None" = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write the columns of `to_dataframe` as a folder of parquet files, by the workers.

        The folder is whole once it has ``_SUCCESS``, which also holds provenance and a digest of
        every file. A local folder appears by one rename; a remote one that fails is left
        without that marker. `open_coreset` and ``verify`` are for zarr.

        Parameters
        ----------
        path : path or URL
            Of the folder; must not exist unless ``overwrite``.
        storage_options : mapping, optional
            For fsspec; never stored.
        overwrite : bool
            Replace a folder that this has written. A local one stays readable until the commit.
        columns : sequence of str, optional
            Other names for the features.
        progress : Progress, optional
            Takes the files that are written.

        Returns
        -------
        dict
            ``path``, ``digest``, ``bytes_written`` and the number of ``files``.

        Raises
        ------
        InputError
            Where the folder exists, is the source, or cannot be written; or columns clash.
        """
        from dask_distill.tables import write_parquet

        return write_parquet(
            self,
            path,
            storage_options=storage_options,
            overwrite=overwrite,
            columns=columns,
            on_part=None if progress is None else countdown("write", progress),
        )

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
        >>> from dask_distill import grow
        >>> coreset = grow(np.arange(20.0).reshape(10, 2), size=2, strategy="random")
        >>> coreset.update(np.arange(20.0, 40.0).reshape(10, 2)).provenance["rows"]
        20
        """
        from dask_distill.dataset import as_dataset
        from dask_distill.growing.start import summary_of
        from dask_distill.growing.update import grown

        batch = as_dataset(features, labels, carry=carry, time=time)
        return grown(summary_of(self), batch, progress=progress)

    def evaluate(self, features: Any, labels: Any = None, **options: Any) -> "Evaluation":
        """Measure what training on these rows costs, against random ones and everything.

        Parameters
        ----------
        features : Dataset, (n, d) array, or pair of features and labels
            What the rows were selected from.
        labels : (n,) array, optional
        **options
            Of `dask_distill.evaluate.evaluate`: test, models, seeds, test_rows, max_rows, seed.

        Returns
        -------
        Evaluation
        """
        from dask_distill.evaluate import evaluate

        return evaluate(self, features, labels, **options)

    def synthesize(self, **options: Any) -> "Synthetic":
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
        from dask_distill.synthesis import synthesize

        return synthesize(self, **options)

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        dataset: "Dataset | None" = None,
        evaluation: "Evaluation | None" = None,
        curve: "SizeCurve | None" = None,
        synthetic: "SyntheticEvaluation | None" = None,
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
        from dask_distill.report import write_report

        write_report(
            self, path, dataset=dataset, evaluation=evaluation, curve=curve, synthetic=synthetic
        )


def open_coreset(
    target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Coreset:
    """Open a subset that `Coreset.to_zarr` or ``dask-distill run`` has written.

    Parameters
    ----------
    target : path or URL
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    Coreset
        Features, labels and carried arrays stay on disk until computed.

    Raises
    ------
    IncompleteOutput
        Where the commit marker or a part is missing.
    InputError
        Where nothing is there, or something else.
    """
    arrays, attributes = store.read(target, storage_options=dict(storage_options or {}))
    if attributes.get(SYNTHETIC):
        raise InputError(
            f"target '{Location(os.fspath(target)).shown}' must hold selected rows, got synthetic "
            "ones; open it with open_synthetic, or name the subset that they were made from"
        )
    names = attributes["names"]
    certificate = attributes.get("certificate")
    small = {
        name: array
        for name, array in arrays.items()
        if name in ("index", "weight") or name.startswith("score/")
    }
    growing = attributes.get("growing")
    summary = None
    if growing is not None:
        from dask_distill.growing.summary import Summary

        summary = Summary.stored(growing, arrays, names)
    values = dict(zip(small, dask.compute(*small.values()), strict=True))
    return Coreset(
        indices=values["index"],
        weights=values["weight"],
        scores={
            name.removeprefix("score/"): array
            for name, array in values.items()
            if name.startswith("score/")
        },
        certificate=None if certificate is None else Certificate(**certificate),
        provenance=attributes["provenance"],
        features=arrays[names["features"]],
        labels=None if names["labels"] is None else arrays[names["labels"]],
        carry={name: arrays[name] for name in names["carry"]},
        feature_name=names["features"],
        label_name=names["labels"] or "y",
        summary=summary,
    )


def rows_of(dataset: "Dataset", indices: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Lazy arrays of some rows of a data set, as the fields of a `Coreset`."""
    return {
        "features": take_rows(dataset.features, indices),
        "labels": None if dataset.labels is None else take_rows(dataset.labels, indices),
        "carry": {name: take_rows(array, indices) for name, array in dataset.carry.items()},
        "feature_name": dataset.feature_name,
        "label_name": dataset.label_name,
    }


def take_rows(array: da.Array, indices: npt.NDArray[np.int64]) -> da.Array:
    """Rows of an array by ascending number: one small task for each chunk that has some.

    Parameters
    ----------
    array : (n, ...) dask array, one chunk along every axis but the first
    indices : (k,) int64 array, ascending

    Returns
    -------
    (k, ...) dask array with known chunks.
    """
    if len(indices) == 0:
        raise InputError("indices must name at least one row, got none")
    edges = np.concatenate([[0], np.cumsum(array.chunks[0])])
    cuts = np.searchsorted(indices, edges)
    parts = []
    chunks = array.to_delayed().ravel()
    for number in np.flatnonzero(np.diff(cuts)):
        local = indices[cuts[number] : cuts[number + 1]] - edges[number]
        part = dask.delayed(_take, pure=True, traverse=False)(chunks[number], local)
        shape = (len(local), *array.shape[1:])
        parts.append(da.from_delayed(part, shape, dtype=array.dtype))
    return da.concatenate(parts) if len(parts) > 1 else parts[0]


def _take(chunk: Any, local: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
    return np.asarray(chunk)[local]
