"""`score`: what a proxy model says of every row, as Dask arrays beside the data.

One survey fits the proxy; then a graph of `map_blocks` applies it, chunk by chunk of the input,
with the functions by which strategies score their blocks.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dask_distill.conversation.run import Run, measured_run
from dask_distill.data.dataset import Dataset, as_dataset
from dask_distill.data.labels import UNSET
from dask_distill.data.weighted import measured, with_weights
from dask_distill.data.written import beside_table
from dask_distill.errors import InputError
from dask_distill.proxy.criteria import CRITERIA
from dask_distill.proxy.fitting import PROXIES, judge_of
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.client import refuse_asynchronous
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.progress import Progress
from dask_distill.runtime.threads import single_threaded
from dask_distill.selection.checkpoint import Receipts
from dask_distill.selection.ground import Ground, reduced, scaled, surveyed
from dask_distill.selection.provenance import dropped_facts, input_facts, versions
from dask_distill.selection.request import Asked, Request
from dask_distill.selection.scored import ChunkScorer, scored, starts_of
from dask_distill.selection.select import SelectionWarning
from dask_distill.selection.task import target_model, wide_target
from dask_distill.sources.frames import Given, named
from dask_distill.spaces.scales import stray_warning
from dask_distill.spaces.words import make_reduction
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.entropy import Entropy
from dask_distill.strategies.gradient import Gradient
from dask_distill.strategies.parts.scorers import REPORTED, Scorer
from dask_distill.subset.scores import Scores
from dask_distill.support.text import likely
from dask_distill.survey.reading import raw_blocks
from dask_distill.survey.schema import Schema
from dask_distill.survey.validity import OnInvalid

# how a survey begins to say that labels cannot be told apart
_NO_CLASSES = ("labels must be classes", "labels must have at least two classes")


def score(
    features: Any,
    labels: Any = None,
    criteria: Sequence[str] = REPORTED,
    *,
    proxy: Any = None,
    seed: int = 0,
    on_invalid: OnInvalid | None = None,
    scale: str = "auto",
    missing_label: Any = UNSET,
    sample_weight: Any = None,
    reduce: Any = None,
    time: Any = None,
    time_scale: Any = None,
    columns: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Score all rows by a proxy model, lazily, in the chunks of the input.

    The survey, one pass, is made at once, on the active `distributed.Client` or Dask's threads: it
    fits the proxy on a bounded sample. What is given back is a graph of `dask.array.map_blocks`
    that reads each chunk once for all criteria. Scores are those that strategies select by, bit
    for bit, whatever the chunks.

    Parameters
    ----------
    features, labels, sample_weight, columns, profile, seed, scale, missing_label, progress
        As for `distill`.
    reduce, time, time_scale
        As for `distill`: rows are judged in that space, for which all are read once more, at once.
    criteria : sequence of str
        Of "gradient" (the norm of the loss gradient), "el2n" (the length of the error vector),
        "entropy" (of the class probabilities, in nats), "margin" (between the two most probable
        classes, small where the model hesitates), "doubt" (1 - the greatest probability) and
        "trust_gap" (by how much the best other class beats the row's own: above 0, the model
        contradicts the label). "entropy", "margin" and "doubt" need no labels where a ``proxy``
        is given.
    proxy : "linear", "ensemble" or fitted estimator with ``predict_proba``, optional
        What judges the rows: softmax regression, as for ``gradient`` and ``entropy``; what
        ``auto`` judges by; or a model of one's own, on the features as they are.
    on_invalid : "raise", "drop" or "fill", optional
        As for `distill`; rows that are left out have a score of NaN.

    Returns
    -------
    Scores
        A mapping of (n,) float32 dask arrays, each in the input's chunks along the rows.

    Raises
    ------
    InputError
        For input or parameters that cannot be used, before any row is scored.

    Notes
    -----
    Arrays that are computed together are scored together: ``dask.compute(dict(scores))`` reads the
    data once, a ``compute()`` for each criterion once for each. `Scores.to_frame` and
    ``Scores.table`` have all of them in one.

    References
    ----------
    Paul, Ganguli, Dziugaite (2021), Deep Learning on a Data Diet; Settles (2009), Active Learning
    Literature Survey; Northcutt, Jiang, Chuang (2021), Confident Learning.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(5000, 4), chunks=1000)
    >>> scores = score(X, (X[:, 0] > 0).astype(int))
    >>> scores
    Scores(gradient, entropy, el2n, margin: 5,000 rows, 5 chunks)
    >>> hard = scores["entropy"] > 0.6
    >>> hard.chunks == (X.chunks[0],), bool(hard.mean() < 0.2)
    (True, True)
    """
    wanted, kind = checked_criteria(criteria), checked_proxy(proxy)
    proxy = None if isinstance(proxy, str) else proxy
    given = named(
        Given(
            features=features,
            labels=labels,
            sample_weight=sample_weight,
            time=time,
            columns=columns,
            profile=profile,
        )
    )
    features = beside_table(given.features, given.labels, given.arrays)
    dataset = as_dataset(features, given.labels, carry=given.carry, time=given.time)
    dataset = with_weights(dataset, given.sample_weight)
    words = {"on_invalid": on_invalid, "scale": scale, "missing_label": missing_label}
    space = {"reduce": make_reduction(reduce), "time_scale": time_scale}
    asked = asked_for(dataset, wanted, seed=seed, proxy=proxy, **words, **space)
    refuse_asynchronous()
    with measured_run(progress) as run:
        asked = replace(asked, dataset=measured(asked.dataset))
        scores = scores_of(surveyed_for(asked, run), asked, wanted, run, kind=kind)
    if line := stray_warning(scores.provenance):
        warnings.warn(line, SelectionWarning, stacklevel=2)
    return scores


def asked_for(
    dataset: Dataset,
    criteria: tuple[str, ...],
    *,
    proxy: Any = None,
    strategy: Strategy | None = None,
    **words: Any,
) -> Asked:
    """What `score` asks of a data set, checked; ``words`` are those of a `Request`.

    A ``strategy`` is given where it judges rows by a target that is no class.

    Raises
    ------
    InputError
    """
    if strategy is None:
        _refuse_unlabelled(criteria, dataset, proxy)
        strategy = Gradient() if dataset.labels is not None else Entropy()
    return Request(strategy=strategy, size=1, proxy=proxy, **words).of(dataset)


def surveyed_for(asked: Asked, run: Run, receipts: Receipts | None = None) -> Ground:
    """The survey that scoring begins with, of a request that is checked.

    ``receipts`` are those of a run that may be resumed.
    """
    with _of_classes():
        raw = raw_blocks(asked.dataset, run.runner)
        return surveyed(raw, asked, run, receipts or Receipts())


def scores_of(
    ground: Ground, asked: Asked, criteria: tuple[str, ...], run: Run, *, kind: str = "linear"
) -> Scores:
    """What `score` gives, of what the survey has found."""
    dataset, request = asked.dataset, asked.request
    ground = scaled(ground, asked, run)
    outline, scales, before = ground.outline, ground.scales, ground.judge_before
    ground = reduced(ground, asked, run)
    none: Handle[Any] = run.constant(None)
    target = None if request.target is None else wide_target(request)
    if target is None:
        wanted: list[Handle[Any]] = [run.call("proxy", _scorer, ground.schema, ground.judge, kind)]
    else:
        wanted = [target_model(request, ground.schema, run)[0]]
    wanted += [none if one is None else one for one in (scales, before, ground.reducing)]
    made, scaling, first, reducing = run.fetch_all(wanted)
    scorer = ChunkScorer(
        scorer=made,
        outline=outline,
        scales=() if scaling is None else (scaling, first),
        criteria=criteria,
        starts=starts_of(dataset, by_blocks=reducing is not None or target is not None),
        all_valid=outline.n == dataset.n,
        d=dataset.d,
        reducing=reducing,
    )
    told = _provenance(asked, ground, criteria)
    if request.proxy is None:
        told["parameters"]["proxy"] = kind
    return Scores(scored(dataset, scorer, target), criteria, told)


def _scorer(schema: Schema, judge: Any, kind: str) -> Scorer:
    with single_threaded():
        return Scorer(judge_of(schema, kind, judge), Scaling.of(schema))


def checked_proxy(proxy: Any) -> str:
    """Which built-in proxy judges the rows, where no estimator does.

    Raises
    ------
    InputError
    """
    kind = proxy if isinstance(proxy, str) else "linear"
    if kind not in PROXIES:
        raise InputError(
            f"proxy must be one of {', '.join(PROXIES)}, or a fitted estimator, got {proxy!r}"
        )
    return kind


def checked_criteria(criteria: Sequence[str]) -> tuple[str, ...]:
    """Criteria by name, each once.

    Raises
    ------
    InputError
    """
    wanted = (criteria,) if isinstance(criteria, str) else tuple(criteria)
    if not wanted:
        raise InputError(f"criteria must name at least one of {', '.join(CRITERIA)}, got none")
    for name in wanted:
        if not isinstance(name, str) or name not in CRITERIA:
            raise InputError(
                f"criteria must be of {', '.join(CRITERIA)}, got {name!r}"
                f"{likely(str(name), tuple(CRITERIA))}; leave it out"
            )
    if len(set(wanted)) < len(wanted):
        raise InputError(f"criteria must be named once each, got {', '.join(wanted)}")
    return wanted


@contextmanager
def _of_classes() -> Iterator[None]:
    """Tell what can be done here about labels that are no classes, where selections can do more."""
    try:
        yield
    except InputError as error:
        found, sign, _ = str(error).partition("; ")
        if not (sign and found.startswith(_NO_CLASSES)):
            raise
        raise InputError(
            f"{found}; scores are of classes: of numbers, cut them into some, such as quantiles"
        ) from None


def _refuse_unlabelled(criteria: Sequence[str], dataset: Dataset, proxy: Any) -> None:
    if dataset.labels is not None:
        return
    if needy := [name for name in criteria if CRITERIA[name].labelled]:
        raise InputError(
            f"labels must be given for {', '.join(needy)}, got none; pass labels=, or, from "
            'Python, criteria=("entropy", "margin") with a fitted proxy'
        )
    if proxy is None:
        raise InputError(
            f"labels must be given to fit the proxy for {', '.join(criteria)}, got none; pass "
            "labels=, or, from Python, a fitted proxy"
        )


def _provenance(asked: Asked, ground: Ground, criteria: tuple[str, ...]) -> dict[str, Any]:
    dataset, parameters = asked.dataset, asked.request.describe()
    told = ("proxy", "on_invalid", "scale", "missing_label", "reduce", "time_scale")
    return {
        "seed": parameters["seed"],
        "parameters": {name: parameters[name] for name in told if name in parameters}
        | {"criteria": list(criteria)}
        | ({} if asked.request.target is None else {"task": parameters["task"]}),
        "versions": versions(),
        "input": input_facts(dataset, ground.outline),
        "rows": ground.outline.n,
        "rows_dropped": ground.outline.dropped,
        "dropped": dropped_facts(ground.outline, dataset.columns),
        "scaling": ground.scaling,
    }
