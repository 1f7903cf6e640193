"""The data of the benchmarks: a mixture of Gaussians of unequal weights and widths."""

import numpy as np
import numpy.typing as npt

_CLUSTERS = 50


def mixture(n: int, d: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Rows of 50 clusters: (n, d) float32 array.

    Means are spread three times as far as a cluster of width 1; widths are log-normal, weights
    uniform on the simplex.
    """
    return mixture_with_clusters(n, d, seed)[0]


def mixture_with_clusters(
    n: int, d: int, seed: int = 0, draw: int | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The rows, and the cluster of each; ``draw`` gives other rows of the same clusters."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((_CLUSTERS, d)).astype(np.float32) * 3
    widths = np.exp(0.5 * rng.standard_normal(_CLUSTERS)).astype(np.float32)
    weights = rng.dirichlet(np.ones(_CLUSTERS))
    if draw is not None:
        rng = np.random.default_rng([seed, draw])
    cluster = rng.choice(_CLUSTERS, n, p=weights)
    X = rng.standard_normal((n, d), dtype=np.float32)
    X *= widths[cluster][:, None]
    X += means[cluster]
    return X, cluster
