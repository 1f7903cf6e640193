"""What the methods share of PyTorch: a plain network, averages of its weights, draws of rows.

Every number is drawn by a generator that is handed in, and one thread computes: the same seed gives
the same bits. Imported only where PyTorch is needed.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional

from dask_distill.runtime.threads import single_threaded
from dask_distill.synthesis.methods import Material

_lock = threading.Lock()
_depth = 0
_strict = False


class Network:
    """Linear layers with a rectifier between them.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units, outputs.
    generator : torch.Generator
        Draws the weights as PyTorch's own layers would.
    scaled : bool
        Whether hidden rows are brought to mean 0 and variance 1.
    """

    def __init__(self, sizes: Sequence[int], generator: Any, *, scaled: bool = False) -> None:
        self.scaled = scaled
        self.parameters: list[Any] = []
        for inputs, outputs in pairwise(sizes):
            bound = inputs**-0.5
            for shape in ((inputs, outputs), (outputs,)):
                drawn = torch.empty(*shape).uniform_(-bound, bound, generator=generator)
                self.parameters.append(drawn.requires_grad_())

    def __call__(self, rows: Any) -> Any:
        """The last layer's numbers."""
        return self.layers(rows)[-1]

    def layers(self, rows: Any) -> list[Any]:
        """The numbers after each layer."""
        found: list[Any] = []
        for weights, offsets in zip(self.parameters[::2], self.parameters[1::2], strict=True):
            if found:
                rows = functional.leaky_relu(rows, 0.2)
            rows = torch.addmm(offsets, rows, weights)
            if self.scaled and len(found) < len(self.parameters) // 2 - 1:
                rows = functional.layer_norm(rows, rows.shape[1:])
            found.append(rows)
        return found


class Averaged:
    """A moving average of a network's weights, which makes better rows than the last ones do."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._mean = [value.detach().clone() for value in network.parameters]
        self._seen = 0

    def update(self) -> None:
        """Take the weights as they are now."""
        self._seen += 1
        share = max(1 / (self._seen + 1), 0.005)
        with torch.no_grad():
            for mean, value in zip(self._mean, self._network.parameters, strict=True):
                mean.lerp_(value, share)

    def settle(self) -> None:
        """Give the network the averages."""
        with torch.no_grad():
            for mean, value in zip(self._mean, self._network.parameters, strict=True):
                value.copy_(mean)


class Draws:
    """Rows of a material, drawn with replacement."""

    def __init__(self, material: Material, generator: Any) -> None:
        self._generator = generator
        self._chances = torch.from_numpy(material.chances())
        self._rows = torch.from_numpy(material.Z)
        self._classes = one_hot(torch.from_numpy(material.codes), len(material.counts))

    def __call__(self, count: int) -> tuple[Any, Any]:
        """(count, p) rows and their (count, C) classes."""
        drawn = torch.multinomial(self._chances, count, replacement=True, generator=self._generator)
        return self._rows[drawn], self._classes[drawn]


def one_hot(codes: Any, classes: int) -> Any:
    """(n, C) floats; no column where there is but one class."""
    if classes == 1:
        return torch.zeros(len(codes), 0)
    return functional.one_hot(codes, classes).float()


def wanted_classes(material: Material) -> Any:
    """The classes of the rows to make, in order."""
    counts = torch.from_numpy(material.counts)
    codes = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return one_hot(codes, len(counts))


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread and deterministic algorithms, until the last of all concurrent users leaves."""
    global _depth, _strict
    # PyTorch's number of threads is each thread's own, its strictness the process's
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with _lock:
        if _depth == 0:
            _strict = torch.are_deterministic_algorithms_enabled()
            torch.use_deterministic_algorithms(True)
        _depth += 1
    try:
        with single_threaded():
            yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                torch.use_deterministic_algorithms(_strict)
        torch.set_num_threads(threads)
