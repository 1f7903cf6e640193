"""A conditional Wasserstein GAN for encoded tables; see `dask_distill.synthesis.GAN`."""

from typing import Any

import torch

from dask_distill.synthesis.encoding import Float32
from dask_distill.synthesis.methods import GAN, Material
from dask_distill.synthesis.networks import Averaged, Draws, Network, reproducible, wanted_classes

_RATE = 1e-3
_MOMENTA = (0.0, 0.9)
_PENALTY = 1.0
# of the softmax that stands for a draw among categories
_TEMPERATURE = 0.2
_ROWS_AT_ONCE = 8192


def generate(method: GAN, material: Material, seed: int) -> Float32:
    """Train the two networks against each other, then make rows of the wanted classes."""
    with reproducible():
        generator = torch.Generator().manual_seed(seed)
        maker, critic = _networks(method, material, generator)
        _train(method, material, maker, critic, generator)
        with torch.no_grad():
            parts = [
                _make(method, material, maker, classes, generator)
                for classes in wanted_classes(material).split(_ROWS_AT_ONCE)
            ]
        made: Float32 = torch.cat(parts).numpy()
        return made


def _networks(method: GAN, material: Material, generator: Any) -> tuple[Network, Network]:
    width, classes = material.Z.shape[1], len(material.counts)
    told = classes if classes > 1 else 0
    hidden = (method.width, method.width)
    maker = Network((method.noise + told, *hidden, width), generator, scaled=True)
    critic = Network((method.pack * (width + told), *hidden, 1), generator)
    return maker, critic


def _train(
    method: GAN, material: Material, maker: Network, critic: Network, generator: Any
) -> None:
    draw = Draws(material, generator)
    count = -(-method.batch // method.pack) * method.pack
    ours = torch.optim.Adam(maker.parameters, lr=_RATE, betas=_MOMENTA)
    theirs = torch.optim.Adam(critic.parameters, lr=_RATE, betas=_MOMENTA)
    schedules = [
        torch.optim.lr_scheduler.CosineAnnealingLR(each, method.steps) for each in (ours, theirs)
    ]
    average = Averaged(maker)
    for _ in range(method.steps):
        real, classes = draw(count)
        with torch.no_grad():
            made = _make(method, material, maker, classes, generator)
        loss = _critic_loss(method, critic, real, made, classes, generator)
        _step(theirs, loss)
        _, classes = draw(count)
        made = _make(method, material, maker, classes, generator)
        _step(ours, -critic(_packed(method, made, classes)).mean())
        average.update()
        for schedule in schedules:
            schedule.step()
    average.settle()


def _make(method: GAN, material: Material, maker: Network, classes: Any, generator: Any) -> Any:
    """Rows of these classes; of a category, nearly one value is on."""
    noise = torch.randn(len(classes), method.noise, generator=generator)
    made = maker(torch.cat([noise, classes], dim=1))
    parts, done = [], 0
    for start, stop in material.categories:
        uniform = torch.rand(len(made), stop - start, generator=generator)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-6, 1 - 1e-6)))
        on = torch.softmax((made[:, start:stop] + gumbel) / _TEMPERATURE, dim=1)
        parts += [made[:, done:start], 2 * on - 1]
        done = stop
    return torch.cat([*parts, made[:, done:]], dim=1)


def _packed(method: GAN, rows: Any, classes: Any) -> Any:
    return torch.cat([rows, classes], dim=1).reshape(len(rows) // method.pack, -1)


def _critic_loss(
    method: GAN, critic: Network, real: Any, made: Any, classes: Any, generator: Any
) -> Any:
    packs = [_packed(method, rows, classes) for rows in (real, made)]
    share = torch.rand(len(packs[0]), 1, generator=generator)
    between = torch.lerp(packs[0], packs[1], share).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = (slope.square().sum(dim=1).add(1e-12).sqrt() - 1).square().mean()
    return critic(packs[1]).mean() - critic(packs[0]).mean() + _PENALTY * penalty


def _step(optimiser: Any, loss: Any) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
