"""How much an example matters to a softmax model: gradient norm, EL2N, entropy, margin."""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32] | npt.NDArray[np.int64]


def el2n(probabilities: Float, labels: Codes, work: Float | None = None) -> Float32:
    """Length of the error vector ``softmax - one_hot`` (EL2N).

    Parameters
    ----------
    probabilities : (n, C) float array
        The proxy's class probabilities; rows sum to 1.
    labels : (n,) int array
        Class numbers, 0 <= label < C.
    work : float array of at least n * C numbers, optional
        Memory to work in, for calls one after the other; what is in it is lost.

    Returns
    -------
    (n,) float32 array, from 0 (certain and right) to sqrt(2) (certain and wrong).

    References
    ----------
    Paul, Ganguli, Dziugaite (2021), Deep Learning on a Data Diet.

    Examples
    --------
    >>> el2n(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 0]))
    array([0.        , 0.70710677], dtype=float32)
    """
    # by way of ||p||^2 it would need no copy, and be rounding noise where the model is sure
    error = _room(probabilities, work)
    np.copyto(error, probabilities)
    # each row's own class by its place in memory: twice as fast as by pairs of indices
    row, column = (stride // error.itemsize for stride in error.strides)
    own = labels * np.int64(column)
    own += np.arange(len(labels)) * row
    flat = error.reshape(-1, order="A")
    flat[own] = flat.take(own) - 1
    return np.sqrt(np.square(error, out=error).sum(axis=1)).astype(np.float32, copy=False)


def gradient_norm(probabilities: Float, labels: Codes, features: Float) -> Float32:
    """Norm of each example's loss gradient under softmax regression.

    The gradient of the cross-entropy with respect to weights and intercept is the outer
    product of ``softmax - one_hot`` with ``(x, 1)``; its Frobenius norm needs no gradient.

    Parameters
    ----------
    probabilities : (n, C) float array
        The proxy's class probabilities; rows sum to 1.
    labels : (n,) int array
        Class numbers, 0 <= label < C.
    features : (n, d) float array
        As the proxy saw them (standardised).

    Returns
    -------
    (n,) float32 array, >= 0.

    References
    ----------
    Paul, Ganguli, Dziugaite (2021), Deep Learning on a Data Diet.

    Examples
    --------
    >>> gradient_norm(np.array([[0.5, 0.5]]), np.array([0]), np.array([[3.0, 4.0]]))
    array([3.6055512], dtype=float32)
    """
    return el2n(probabilities, labels) * input_length(features)


def input_length(features: Float) -> Float32:
    """Length of ``(x, 1)``: what turns EL2N into the gradient norm of softmax regression.

    Parameters
    ----------
    features : (n, d) float array

    Returns
    -------
    (n,) float32 array, >= 1.

    Examples
    --------
    >>> input_length(np.array([[0.0, 0.0], [2.0, 2.0]]))
    array([1., 3.], dtype=float32)
    """
    return np.sqrt(np.einsum("ij,ij->i", features, features) + 1).astype(np.float32)


def entropy(probabilities: Float, work: Float | None = None) -> Float32:
    """Shannon entropy of the class probabilities, in nats.

    Parameters
    ----------
    probabilities : (n, C) float array
        Rows sum to 1; 0 counts as 0 · log 0 = 0.
    work : float array of at least n * C numbers, optional
        Memory to work in, for calls one after the other; what is in it is lost.

    Returns
    -------
    (n,) float32 array, from 0 (certain) to log C (uniform).

    References
    ----------
    Settles (2009), Active Learning Literature Survey, section 3.1.

    Examples
    --------
    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
    array([0.       , 0.6931472], dtype=float32)
    """
    # one for each row: with a single number NumPy takes three times as long
    tiny = np.full((len(probabilities), 1), np.finfo(probabilities.dtype).tiny)
    logs = np.maximum(probabilities, tiny, out=_room(probabilities, work))
    np.log(logs, out=logs)
    logs *= probabilities
    # "+ 0.0" makes the -0.0 of a certain row an ordinary zero
    total = -logs.sum(axis=1) + 0.0
    return np.maximum(total, 0, out=total).astype(np.float32, copy=False)


def margin(probabilities: Float, top: tuple[Float, Float] | None = None) -> Float32:
    """Distance between the two most probable classes: small where the model hesitates.

    Parameters
    ----------
    probabilities : (n, C) float array, C >= 2.
    top : two (n,) float arrays, optional
        What `top_two` says of them, where that is known.

    Returns
    -------
    (n,) float32 array, from 0 (a tie) to 1 (certain).

    References
    ----------
    Scheffer, Decomain, Wrobel (2001), Active Hidden Markov Models for Information Extraction.

    Examples
    --------
    >>> margin(np.array([[0.75, 0.25, 0.0]]))
    array([0.5], dtype=float32)
    """
    best, second = top or top_two(probabilities)
    return (best - second).astype(np.float32)


def trust_gap(
    probabilities: Float, labels: Codes, top: tuple[Float, Float] | None = None
) -> Float32:
    """By how much the best other class beats an example's own: above 0, the model disagrees.

    Parameters
    ----------
    probabilities : (n, C) float array, C >= 2.
    labels : (n,) int array
        Class numbers, 0 <= label < C.
    top : two (n,) float arrays, optional
        What `top_two` says of them, where that is known.

    Returns
    -------
    (n,) float32 array, from -1 (certain and right) to 1 (certain and wrong).

    References
    ----------
    Northcutt, Jiang, Chuang (2021), Confident Learning (normalised margin).

    Examples
    --------
    >>> trust_gap(np.array([[0.25, 0.75], [0.25, 0.75]]), np.array([0, 1]))
    array([ 0.5, -0.5], dtype=float32)
    """
    own = probabilities[np.arange(len(labels)), labels]
    best, second = top or top_two(probabilities)
    # where the own class is the best one, the best other is the second
    return (np.where(own >= best, second, best) - own).astype(np.float32)


def top_two(probabilities: Float) -> tuple[Float, Float]:
    """The largest and the second largest of each row.

    Parameters
    ----------
    probabilities : (n, C) float array, C >= 2.

    Returns
    -------
    best, second : (n,) float arrays

    Examples
    --------
    >>> top_two(np.array([[0.25, 0.75, 0.0]]))
    (array([0.75]), array([0.25]))
    """
    # no sort, no copy: of pairs of classes at once, then of the winners one by one
    columns, pairs = probabilities.T, probabilities.shape[1] // 2
    left, right = columns[:pairs], columns[pairs : 2 * pairs]
    winners = np.maximum(left, right)
    second = np.minimum(left, right).max(axis=0)
    best = winners[0]
    for column in (*winners[1:], *columns[2 * pairs :]):
        np.maximum(second, np.minimum(best, column), out=second)
        np.maximum(best, column, out=best)
    return best, second


def _room(values: Float, work: Float | None) -> Float:
    """Memory for as many values in the same order, of ``work`` where it can be."""
    if work is None or work.dtype != values.dtype:
        return np.empty_like(values)
    piece = work[: values.size]
    if values.flags.c_contiguous:
        return piece.reshape(values.shape)
    return piece.reshape(values.shape[::-1]).T if values.flags.f_contiguous else values.copy("K")
