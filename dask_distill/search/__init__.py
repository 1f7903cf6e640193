"""Search for the strategy: which one, with which options, keeps most on rows that are held out."""

from dask_distill.search.result import StrategySearch, TrialResult
from dask_distill.search.run import search_strategy, searched

__all__ = ["StrategySearch", "TrialResult", "search_strategy", "searched"]
