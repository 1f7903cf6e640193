"""Condensation by distribution matching; see `dask_distill.synthesis.Condensation`."""

from typing import Any

import torch

from dask_distill.synthesis.encoding import Float32
from dask_distill.synthesis.methods import Condensation, Material
from dask_distill.synthesis.networks import Draws, Network, reproducible

_RATE = 0.05
_APART = 0.1


def generate(method: Condensation, material: Material, seed: int) -> Float32:
    """Move rows until random networks see the same mean in them as in the real ones."""
    with reproducible():
        generator = torch.Generator().manual_seed(seed)
        count, width = int(material.counts[0]), material.Z.shape[1]
        draw = Draws(material, generator)
        rows = torch.randn(count, width, generator=generator)
        if method.initial == "real":
            rows = _begin(material, rows, generator)
        rows.requires_grad_()
        optimiser = torch.optim.Adam([rows], lr=_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, method.steps)
        for _ in range(method.steps):
            network = Network((width, method.width, method.width), generator, scaled=True)
            with torch.no_grad():
                aims = _means(network, draw(method.batch)[0])
            found = _means(network, rows)
            # the gradient of a mean gets small with the number of rows; Adam does not mind
            loss = torch.stack(
                [(one - other).square().sum() for one, other in zip(found, aims, strict=True)]
            ).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        made: Float32 = rows.detach().numpy().copy()
        return made


def _begin(material: Material, noise: Any, generator: Any) -> Any:
    """Real rows, each once while there are any; what comes again is moved: twins stay twins."""
    chances, real = torch.from_numpy(material.chances()), torch.from_numpy(material.Z)
    once = min(len(noise), len(real))
    first = torch.multinomial(chances, once, generator=generator)
    if once == len(noise):
        return real[first]
    more = torch.multinomial(chances, len(noise) - once, replacement=True, generator=generator)
    return torch.cat([real[first], real[more] + _APART * noise[once:]])


def _means(network: Network, rows: Any) -> list[Any]:
    """Means of the rows as they are, and as each layer sees them."""
    return [rows.mean(dim=0), *(torch.relu(seen).mean(dim=0) for seen in network.layers(rows))]
