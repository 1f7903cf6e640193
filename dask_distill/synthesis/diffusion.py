"""A diffusion model for encoded tables; see `dask_distill.synthesis.Diffusion`."""

import math
from typing import Any

import torch

from dask_distill.synthesis.encoding import Float32
from dask_distill.synthesis.methods import Diffusion, Material
from dask_distill.synthesis.networks import Averaged, Draws, Network, reproducible, wanted_classes

_RATE = 2e-3
# numbers that tell the network how much noise there is
_CLOCK = 32
_ROWS_AT_ONCE = 8192


def generate(method: Diffusion, material: Material, seed: int) -> Float32:
    """Train the network to see the noise in rows, then take it out of pure noise."""
    with reproducible():
        generator = torch.Generator().manual_seed(seed)
        classes = len(material.counts)
        told = _CLOCK + (classes if classes > 1 else 0)
        width = material.Z.shape[1]
        sizes = (width + told, method.width, method.width, method.width, width)
        network = Network(sizes, generator, scaled=True)
        kept = _kept(method.levels)
        _train(method, material, network, kept, generator)
        limit = float(abs(material.Z).max())
        parts = []
        with torch.no_grad():
            for wanted in wanted_classes(material).split(_ROWS_AT_ONCE):
                noise = torch.randn(len(wanted), width, generator=generator)
                parts.append(_denoise(network, noise, wanted, kept, limit, generator))
        made: Float32 = torch.cat(parts).numpy()
        return made


def _kept(levels: int) -> Any:
    """(levels + 1,) how much of a row's variance is left at each level, from all to nearly none."""
    angle = (torch.linspace(0, 1, levels + 1, dtype=torch.float64) + 0.008) / 1.008 * math.pi / 2
    left = torch.cos(angle) ** 2
    # no single step may take more than all but a thousandth
    steps = (left[1:] / left[:-1]).clamp(0.001, 1)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(steps, 0)]).float()


def _clock(level: Any, levels: int) -> Any:
    """(m, _CLOCK) sines and cosines of a level."""
    frequency = torch.exp(torch.linspace(0, math.log(1000), _CLOCK // 2))
    angle = (level / levels)[:, None] * frequency
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)


def _train(
    method: Diffusion, material: Material, network: Network, kept: Any, generator: Any
) -> None:
    draw = Draws(material, generator)
    optimiser = torch.optim.Adam(network.parameters, lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, method.steps)
    average = Averaged(network)
    for _ in range(method.steps):
        rows, classes = draw(method.batch)
        level = torch.randint(1, method.levels + 1, (len(rows),), generator=generator)
        noise = torch.randn(rows.shape, generator=generator)
        left = kept[level][:, None]
        seen = left.sqrt() * rows + (1 - left).sqrt() * noise
        found = network(torch.cat([seen, _clock(level, method.levels), classes], dim=1))
        loss = torch.nn.functional.mse_loss(found, noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update()
    average.settle()


def _denoise(
    network: Network, rows: Any, classes: Any, kept: Any, limit: float, generator: Any
) -> Any:
    levels = len(kept) - 1
    for level in range(levels, 0, -1):
        clock = _clock(torch.full((len(rows),), level), levels)
        noise = network(torch.cat([rows, clock, classes], dim=1))
        left, before = kept[level], kept[level - 1]
        step = left / before
        clean = ((rows - (1 - left).sqrt() * noise) / left.sqrt()).clamp(-limit, limit)
        rows = (before.sqrt() * (1 - step) * clean + step.sqrt() * (1 - before) * rows) / (1 - left)
        if level > 1:
            spread = ((1 - before) / (1 - left) * (1 - step)).sqrt()
            rows = rows + spread * torch.randn(rows.shape, generator=generator)
    return rows
