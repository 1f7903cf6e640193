"""Select the rows of a data set that are worth training on, where the data lies."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_distill.coreset import Certificate, Coreset, open_coreset
    from dask_distill.curve import size_curve
    from dask_distill.dataset import Dataset
    from dask_distill.distiller import Distiller
    from dask_distill.errors import DistillError, IncompleteOutput, InputError
    from dask_distill.evaluation import Evaluation
    from dask_distill.growing import grow
    from dask_distill.pipeline import SelectionWarning, distill
    from dask_distill.plan import Plan, make_plan
    from dask_distill.request import Request
    from dask_distill.resume import distill_to_zarr
    from dask_distill.search import StrategySearch, search_strategy
    from dask_distill.sizes import SizeCurve
    from dask_distill.sources import open_dataset
    from dask_distill.store import Verification, verify
    from dask_distill.synthesis import (
        Synthetic,
        SyntheticEvaluation,
        evaluate_synthetic,
        open_synthetic,
        synthesize,
    )

__version__ = "0.1.0"

# every `dask` command imports our command line, and with it this module: nothing heavy here
_HOMES = {
    "Certificate": "coreset",
    "Coreset": "coreset",
    "Dataset": "dataset",
    "DistillError": "errors",
    "Distiller": "distiller",
    "Evaluation": "evaluation",
    "IncompleteOutput": "errors",
    "InputError": "errors",
    "Plan": "plan",
    "Request": "request",
    "SelectionWarning": "pipeline",
    "StrategySearch": "search",
    "SizeCurve": "sizes",
    "Synthetic": "synthesis",
    "SyntheticEvaluation": "synthesis",
    "Verification": "store",
    "distill": "pipeline",
    "distill_to_zarr": "resume",
    "evaluate_synthetic": "synthesis",
    "grow": "growing",
    "make_plan": "plan",
    "open_coreset": "coreset",
    "open_dataset": "sources",
    "open_synthetic": "synthesis",
    "search_strategy": "search",
    "size_curve": "curve",
    "synthesize": "synthesis",
    "verify": "store",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
