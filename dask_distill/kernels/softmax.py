"""Cross-fitted softmax regression: one model a fold, each blind to its own, fitted side by side."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

# rows whose probabilities are held at once, fewer where that would be more numbers than the next
TILE_ROWS = 2048
TILE_VALUES = 2**22
# vectors of all weights, in float64, that L-BFGS and what it calls hold at once
VECTORS = 41
# columns that a matrix product works on together
_WIDTH = 16
# models that say nothing better of rows they do not see, for so many steps, learn noise
_PATIENCE = 5
# what is better: by this part of the loss
_GAIN = 1e-3
# a class that a model never sees is out of the question while it learns
_NEVER = np.float32(-1e4)


@dataclass(frozen=True)
class CrossFit:
    """Models of all folds.

    Attributes
    ----------
    weights : (folds, C, d) float32 array
    intercepts : (folds, C) float32 array
        0 for classes that a fold's model has not seen.
    seen : (folds, C) bool array
        Whether the model has seen rows of the class.
    steps : int
        Steps of L-BFGS after which the models are taken.
    """

    weights: Float32
    intercepts: Float32
    seen: npt.NDArray[np.bool_]
    steps: int


def cross_fit(
    X: Float32,
    codes: npt.NDArray[np.int32],
    fold: npt.NDArray[np.int8],
    classes: int,
    *,
    strength: float,
    steps: int,
    patience: int = _PATIENCE,
    weight: Float32 | None = None,
) -> CrossFit:
    """Fit one multinomial logistic regression a fold, on all rows but the fold's.

    All are fitted at once, so that a step reads the features once; they stop where the loss on
    the rows that they do not see is least. Wrong labels are learnt last.

    Parameters
    ----------
    X : (n, d) float32 array
    codes : (n,) int array
        Class numbers, 0 <= code < classes.
    fold : (n,) int array
        Which model does not see the row, from 0.
    classes : int
    strength : float > 0
        The inverse of regularisation, `C` of scikit-learn's LogisticRegression.
    steps : int
        Most steps.
    patience : int
        Steps without a gain of a thousandth on unseen rows after which to stop.
    weight : (n,) float32 array > 0, optional
        How often each row counts; once where not given.

    Returns
    -------
    CrossFit

    References
    ----------
    Liu, Nocedal (1989), On the limited memory BFGS method for large scale optimization.
    Li, Soltanolkotabi, Oymak (2020), Gradient descent with early stopping is provably robust to
    label noise for overparameterized neural networks.

    Examples
    --------
    >>> X = np.array([[-2], [-1], [1], [2]], np.float32)
    >>> fit = cross_fit(X, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), 2, strength=1, steps=9)
    >>> (X @ fit.weights[0].T).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    from scipy.optimize import minimize

    problem = _Problem(X, codes, fold, classes, strength, weight)
    shape = problem.seen.shape[0] * classes, X.shape[1] + 1
    best, best_step, least = np.zeros(shape), 0, np.inf
    step, goal, since = 0, np.inf, 0

    def watch(flat: Floats) -> None:
        nonlocal best, best_step, least, step, goal, since
        step += 1
        if problem.unseen_loss < least:
            best, best_step, least = flat.reshape(shape).copy(), step, problem.unseen_loss
        since = 0 if least < goal else since + 1
        if since == 0:
            goal = least * (1 - _GAIN)
        if since >= patience:
            raise StopIteration

    minimize(
        problem.loss_and_gradient,
        best.ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=watch,
        options={"maxiter": steps, "gtol": 1e-5},
    )
    every = best.astype(np.float32).reshape(*problem.seen.shape, -1)
    return CrossFit(every[:, :, :-1], every[:, :, -1], problem.seen, best_step)


def fit_all(
    X: Float32,
    codes: npt.NDArray[np.integer],
    classes: int,
    *,
    strength: float,
    steps: int,
    weight: Float32 | None = None,
) -> tuple[Float32, Float32]:
    """Fit one multinomial logistic regression on all rows, holding few probabilities at once.

    What scikit-learn's LogisticRegression minimises; that one holds those of all rows.

    Parameters
    ----------
    X : (n, d) float32 array
    codes : (n,) int array
        Class numbers, 0 <= code < classes; each has a row.
    classes : int
    strength : float > 0
        The inverse of regularisation, `C` of LogisticRegression.
    steps : int
        Most steps of L-BFGS.
    weight : (n,) float32 array > 0, optional
        How often each row counts; once where not given.

    Returns
    -------
    weights : (classes, d) float32 array
    intercepts : (classes,) float32 array

    Examples
    --------
    >>> X = np.array([[-2], [-1], [1], [2]], np.float32)
    >>> weights, intercepts = fit_all(X, np.array([0, 0, 1, 1]), 2, strength=1, steps=9)
    >>> (X @ weights.T + intercepts).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    from scipy.optimize import minimize

    problem = _Problem(X, codes, np.full(len(X), -1, np.int8), classes, strength, weight)
    size = classes * (X.shape[1] + 1)
    found = minimize(
        problem.loss_and_gradient,
        np.zeros(size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "gtol": 1e-3},
    )
    both = found.x.reshape(classes, -1).astype(np.float32)
    return both[:, :-1], both[:, -1]


def widened(weights: Float32) -> Float32:
    """Weights (M, d) as the right side of a product, with columns of zeros up to an even width.

    Such a product takes two thirds of the time. Its first M columns are what is wanted.
    """
    M, d = weights.shape
    columns = np.zeros((d, -(-M // _WIDTH) * _WIDTH), np.float32)
    columns[:, :M] = weights.T
    return columns


class _Problem:
    """The losses of all models, added up, as a function of all their weights.

    Of fold -1 are rows that every model sees.
    """

    def __init__(
        self,
        X: Float32,
        codes: npt.NDArray[np.integer],
        fold: npt.NDArray[np.int8],
        classes: int,
        strength: float,
        weight: Float32 | None = None,
    ) -> None:
        folds = max(int(fold.max()) + 1, 1)
        self.X, self.codes, self.fold = X, codes, fold
        self.weight = np.ones(len(X), np.float32) if weight is None else weight
        # folds are bytes: their product with many classes would not fit
        group = fold.astype(np.int64) * classes + codes
        counts = np.bincount(group[fold >= 0], minlength=folds * classes)
        of_fold = counts.reshape(folds, classes)
        self.seen = np.bincount(codes, minlength=classes) > of_fold
        self.unseen_loss = np.inf
        # whole numbers where each row counts once
        own = np.bincount(fold[fold >= 0], self.weight[fold >= 0], minlength=folds)
        self._total = float(self.weight.sum(dtype=np.float64))
        self._rows_seen = self._total - own
        self._penalty = 1 / (strength * np.maximum(self._rows_seen, 1))
        self._offsets = np.where(self.seen, np.float32(0), _NEVER)[:, :, None]
        self._step = TILE_ROWS
        while self._step > 1 and self._step * folds * classes > TILE_VALUES:
            self._step //= 2

    def loss_and_gradient(self, flat: Floats) -> tuple[float, Floats]:
        """Mean loss of each model with its penalty, added up; the gradient in the same order."""
        folds, classes = self.seen.shape
        both = flat.reshape(folds * classes, -1)
        weights, intercepts = both[:, :-1].astype(np.float32), both[:, -1:].astype(np.float32)
        columns = widened(weights)
        gradient = np.zeros_like(both)
        losses, unseen = np.zeros(folds), 0.0
        for start in range(0, len(self.X), self._step):
            part = slice(start, start + self._step)
            X, codes = self.X[part], self.codes[part]
            weight = self.weight[part]
            learns = self.fold[part] != np.arange(folds)[:, None]
            at = np.arange(len(X))
            logits = np.ascontiguousarray((X @ columns)[:, : len(weights)].T)
            logits += intercepts
            logits = logits.reshape(folds, classes, -1)
            logits += self._offsets
            own = logits[:, codes, at]
            top = logits.max(axis=1, keepdims=True)
            logits -= top
            np.exp(logits, out=logits)
            total = logits.sum(axis=1, keepdims=True)
            each = np.log(total[:, 0]) + top[:, 0] - own
            each *= weight
            losses += np.where(learns, each, 0).sum(axis=1, dtype=np.float64)
            unseen += float(np.where(learns, 0, each).sum(dtype=np.float64))
            logits /= total
            logits[:, codes, at] -= 1
            share = learns / self._rows_seen[:, None] * weight
            logits *= share.astype(np.float32)[:, None]
            errors = logits.reshape(folds * classes, -1)
            gradient[:, :-1] += errors @ X
            gradient[:, -1] += errors.sum(axis=1)
        self.unseen_loss = unseen / self._total
        penalty = np.repeat(self._penalty, classes)[:, None]
        gradient[:, :-1] += penalty * both[:, :-1]
        loss = float((losses / np.maximum(self._rows_seen, 1)).sum())
        return loss + float((penalty * both[:, :-1] ** 2).sum()) / 2, gradient.ravel()
