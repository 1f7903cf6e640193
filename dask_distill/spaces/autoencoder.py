"""Trains an autoencoder with PyTorch, and gives its weights as NumPy arrays.

The one module that needs PyTorch (the extra ``torch``), and only where `distill` is called:
workers apply the weights with NumPy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from dask_distill.errors import InputError
from dask_distill.kernels.projection import Float32, Layer
from dask_distill.runtime.threads import single_threaded

_BATCH = 256
_RATE = 2e-3


def require_torch() -> None:
    """Refuse to go on without PyTorch.

    Raises
    ------
    InputError
    """
    if find_spec("torch") is None:
        raise InputError(
            'reduce="autoencoder" needs PyTorch, which is not installed here; install '
            'dask-distill[torch], or use reduce="pca:32"'
        )


def fit_autoencoder(
    Z: Float32, width: int, *, hidden: int, epochs: int, seed: int
) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Learn to put rows into few numbers, and to make the rows of these again.

    One hidden layer on each side, rectified; the mean squared error falls by Adam with a rate
    that goes down to 0. Same rows and seed give the same weights (one thread, deterministic
    algorithms), on processors of the same kind.

    Parameters
    ----------
    Z : (n, d) float32 array
        Standardised.
    width : int
        Numbers that a row becomes.
    hidden : int
        Units of the hidden layers.
    epochs : int
        How many times each row is seen.
    seed : int

    Returns
    -------
    encoder, decoder : tuples of layers, for `dask_distill.kernels.projection.forward`

    References
    ----------
    Hinton, Salakhutdinov (2006), Reducing the dimensionality of data with neural networks;
    Kingma, Ba (2015), Adam.
    """
    require_torch()
    import torch

    d = Z.shape[1]
    generator = torch.Generator().manual_seed(seed % 2**63)
    # again, for the libraries that came with PyTorch
    with single_threaded(), _deterministic(torch):
        encoder = _network(torch, (d, hidden, width), generator)
        decoder = _network(torch, (width, hidden, d), generator)
        parameters = [value for layer in (*encoder, *decoder) for value in layer]
        optimiser = torch.optim.Adam(parameters, lr=_RATE)
        batches = -(-len(Z) // _BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * batches)
        rows = torch.from_numpy(np.array(Z))
        for _ in range(epochs):
            order = torch.randperm(len(rows), generator=generator)
            for batch in order.split(_BATCH):
                wanted = rows[batch]
                again = _apply(torch, _apply(torch, wanted, encoder), decoder)
                loss = torch.nn.functional.mse_loss(again, wanted)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return _as_numpy(encoder), _as_numpy(decoder)


def _network(torch: Any, sizes: tuple[int, ...], generator: Any) -> list[tuple[Any, Any]]:
    """Layers as PyTorch's own would be drawn, by a generator of ours."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        bound = inputs**-0.5
        weights = torch.empty(inputs, outputs).uniform_(-bound, bound, generator=generator)
        offsets = torch.empty(outputs).uniform_(-bound, bound, generator=generator)
        layers.append((weights.requires_grad_(), offsets.requires_grad_()))
    return layers


def _apply(torch: Any, rows: Any, layers: list[tuple[Any, Any]]) -> Any:
    for number, (weights, offsets) in enumerate(layers):
        if number:
            rows = torch.relu(rows)
        rows = torch.addmm(offsets, rows, weights)
    return rows


def _as_numpy(layers: list[tuple[Any, Any]]) -> tuple[Layer, ...]:
    return tuple((w.detach().numpy().copy(), b.detach().numpy().copy()) for w, b in layers)


@contextmanager
def _deterministic(torch: Any) -> Iterator[None]:
    """One thread and deterministic algorithms, then what was set before."""
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)
