"""The data of the benchmarks: a mixture of Gaussians of unequal weights and widths."""

import numpy as np
import numpy.typing as npt

_CLUSTERS = 50


def mixture(n: int, d: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Rows of 50 clusters: (n, d) float32 array.

    Means are spread three times as far as a cluster of width 1; widths are log-normal, weights
    uniform on the simplex.
    """
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((_CLUSTERS, d)).astype(np.float32) * 3
    widths = np.exp(0.5 * rng.standard_normal(_CLUSTERS)).astype(np.float32)
    cluster = rng.choice(_CLUSTERS, n, p=rng.dirichlet(np.ones(_CLUSTERS)))
    X = rng.standard_normal((n, d), dtype=np.float32)
    X *= widths[cluster][:, None]
    X += means[cluster]
    return X
