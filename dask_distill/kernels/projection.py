"""Features in fewer dimensions: a matrix, or a small network, applied in NumPy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
# of a network: (inputs, outputs) weights and (outputs,) offsets
Layer = tuple[Float32, Float32]


def principal_components(
    Z: npt.NDArray[np.floating], count: int, seed: int
) -> tuple[Float32, npt.NDArray[np.float64]]:
    """Directions in which rows vary most, by scikit-learn; signs do not depend on the solver.

    Parameters
    ----------
    Z : (n, d) float array
        Of mean 0, about.
    count : int
        At most min(n, d).
    seed : int
        Of the randomised solver, which scikit-learn takes where n and d are large.

    Returns
    -------
    components : (count, d) float32 array
        Orthonormal rows; the largest entry of each is positive.
    explained : (count,) float64 array
        Part of the variance that each direction has.

    References
    ----------
    Halko, Martinsson, Tropp (2011), Finding structure with randomness.

    Examples
    --------
    >>> components, explained = principal_components(np.array([[2.0, 0], [-2, 0], [0, 1]]), 1, 0)
    >>> components.round(2)
    array([[1., 0.]], dtype=float32)
    """
    from sklearn.decomposition import PCA

    model = PCA(count, random_state=seed % 2**32).fit(Z)
    explained = np.nan_to_num(model.explained_variance_ratio_.astype(np.float64))
    return upright(model.components_), explained


def singular_directions(
    Z: npt.NDArray[np.floating], count: int, seed: int
) -> tuple[Float32, npt.NDArray[np.float64]]:
    """Directions along which rows are longest, by scikit-learn: as above, about 0.

    Parameters
    ----------
    Z : (n, d) float array
    count : int
        At most min(n, d).
    seed : int
        Of the randomised solver.

    Returns
    -------
    components : (count, d) float32 array
        Orthonormal rows; the largest entry of each is positive.
    explained : (count,) float64 array
        Part of all squares that each direction has.

    References
    ----------
    Halko, Martinsson, Tropp (2011), Finding structure with randomness.

    Examples
    --------
    >>> components, explained = singular_directions(np.array([[0.0, 3], [0, 4], [1, 0]]), 1, 0)
    >>> components.round(2), explained.round(2)
    (array([[0., 1.]], dtype=float32), array([0.96]))
    """
    from sklearn.decomposition import TruncatedSVD

    model = TruncatedSVD(count, n_iter=7, random_state=seed % 2**32).fit(Z)
    total = max(float(np.square(Z, dtype=np.float64).sum()), np.finfo(np.float64).tiny)
    return upright(model.components_), np.square(model.singular_values_, dtype=np.float64) / total


def upright(components: npt.NDArray[np.floating]) -> Float32:
    """Directions with the sign that makes the largest entry of each positive.

    Parameters
    ----------
    components : (p, d) float array

    Returns
    -------
    (p, d) float32 array

    Examples
    --------
    >>> upright(np.array([[0.6, -0.8]]))
    array([[-0.6,  0.8]], dtype=float32)
    """
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    components = components * np.where(signs == 0, 1, signs)[:, None]
    return np.ascontiguousarray(components, np.float32)


def random_directions(d: int, count: int, seed: int) -> Float32:
    """Gaussian random directions, which keep distances on average.

    Parameters
    ----------
    d, count : int
    seed : int, at least 0

    Returns
    -------
    (count, d) float32 array, entries of variance 1 / count.

    References
    ----------
    Johnson, Lindenstrauss (1984), Extensions of Lipschitz mappings into a Hilbert space.

    Examples
    --------
    >>> random_directions(1000, 2, 0).std().round(1)
    np.float32(0.7)
    """
    drawn = np.random.default_rng(seed).standard_normal((count, d))
    return (drawn / np.sqrt(count)).astype(np.float32)


def forward(Z: Float32, layers: Sequence[Layer]) -> Float32:
    """What a network of linear layers makes of rows; rectified between layers, not at the end.

    Parameters
    ----------
    Z : (n, d) float32 array
    layers : sequence of (inputs, outputs) weights and (outputs,) offsets

    Returns
    -------
    (n, outputs of the last layer) float32 array.

    Examples
    --------
    >>> one = (np.ones((2, 1), np.float32), np.zeros(1, np.float32))
    >>> forward(np.array([[1, 2]], np.float32), [one])
    array([[3.]], dtype=float32)
    """
    for number, (weights, offsets) in enumerate(layers):
        if number:
            np.maximum(Z, 0, out=Z)
        Z = Z @ weights
        Z += offsets
    return Z


def squared_error(Z: Float32, again: Float32) -> Float32:
    """Mean over the features of the squared difference.

    Parameters
    ----------
    Z, again : (n, d) float32 arrays
        Rows, and what a model made of their reduced form.

    Returns
    -------
    (n,) float32 array, >= 0.

    Examples
    --------
    >>> squared_error(np.array([[1, 2]], np.float32), np.array([[1, 4]], np.float32))
    array([2.], dtype=float32)
    """
    difference = Z - again
    total = np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
    return (total / Z.shape[1]).astype(np.float32)
