"""Select the rows of a data set that are worth training on, where the data lies."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_distill.coreset import Coreset, open_coreset
    from dask_distill.curve import size_curve
    from dask_distill.data.dataset import Dataset
    from dask_distill.distiller import Distiller
    from dask_distill.errors import DistillError, IncompleteOutput, InputError
    from dask_distill.evaluation.curve_result import SizeCurve
    from dask_distill.evaluation.result import Evaluation
    from dask_distill.follow import grow
    from dask_distill.pipeline import distill, distill_to_zarr
    from dask_distill.rounds.first import candidates
    from dask_distill.rounds.second import merge_candidates
    from dask_distill.scoring import score
    from dask_distill.search.result import StrategySearch
    from dask_distill.search.run import search_strategy
    from dask_distill.selection.decision import explain
    from dask_distill.selection.plan import Plan, make_plan
    from dask_distill.selection.request import Request
    from dask_distill.selection.select import SelectionWarning
    from dask_distill.sources.open import open_dataset
    from dask_distill.storage.group import Verification, verify
    from dask_distill.subset.scores import Scores, open_scores
    from dask_distill.subset.subset import Certificate
    from dask_distill.synthesis.judged import SyntheticEvaluation
    from dask_distill.synthesis.judging import evaluate_synthetic
    from dask_distill.synthesis.run import synthesize
    from dask_distill.synthesis.synthetic import Synthetic, open_synthetic

__version__ = "0.1.0"
# every `dask` command imports our command line, and with it this module: nothing heavy here
_HOMES = {
    "Certificate": "subset.subset",
    "Coreset": "coreset",
    "Dataset": "data.dataset",
    "DistillError": "errors",
    "Distiller": "distiller",
    "Evaluation": "evaluation.result",
    "IncompleteOutput": "errors",
    "InputError": "errors",
    "InputWarning": "errors",
    "Plan": "selection.plan",
    "Request": "selection.request",
    "Scores": "subset.scores",
    "SelectionWarning": "selection.select",
    "StrategySearch": "search.result",
    "SizeCurve": "evaluation.curve_result",
    "Synthetic": "synthesis.synthetic",
    "SyntheticEvaluation": "synthesis.judged",
    "Verification": "storage.group",
    "candidates": "rounds.first",
    "distill": "pipeline",
    "distill_to_zarr": "pipeline",
    "evaluate_synthetic": "synthesis.judging",
    "explain": "selection.decision",
    "grow": "follow",
    "make_plan": "selection.plan",
    "merge_candidates": "rounds.second",
    "open_coreset": "coreset",
    "open_dataset": "sources.open",
    "open_scores": "subset.scores",
    "open_synthetic": "synthesis.synthetic",
    "score": "scoring",
    "search_strategy": "search.run",
    "size_curve": "curve",
    "synthesize": "synthesis.run",
    "verify": "storage.group",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
