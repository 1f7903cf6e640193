"""The ways to make rows, with their options. Knows no PyTorch: that is imported where it works."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.support.options import FLAG, Interval, OneOf, check_options, option
from dask_distill.support.text import likely
from dask_distill.synthesis.encoding import Float32

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Material:
    """What a network learns from, and how much it is to make.

    Attributes
    ----------
    Z : (n, p) float32 array of encoded rows
    codes : (n,) int64 array of class numbers
    weights : (n,) float64 array
    categories : tuple of pairs
        Columns of Z that stand for the values of one feature.
    counts : (C,) int64 array
        Rows to make of each class.
    """

    Z: Float32
    codes: Codes
    weights: npt.NDArray[np.float64]
    categories: tuple[tuple[int, int], ...]
    counts: Codes

    def of_class(self, code: int) -> "Material":
        """The part of one class, which then is the only one."""
        mine = np.flatnonzero(self.codes == code)
        return Material(
            self.Z[mine],
            np.zeros(len(mine), np.int64),
            self.weights[mine],
            self.categories,
            self.counts[code : code + 1],
        )

    def chances(self) -> npt.NDArray[np.float64]:
        """(n,) how often rows are drawn to learn from: by weight, rare classes more often."""
        total = np.bincount(self.codes, weights=self.weights, minlength=len(self.counts))
        chance = self.weights / np.sqrt(total[self.codes])
        return chance / chance.sum()


@dataclass(frozen=True)
class Method:
    """A way to make rows; see `GAN`, `Diffusion`, `Condensation`."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        check_options(self, f"{{}} of {self.name}")

    @property
    def each_class(self) -> bool:
        """Whether every class is learnt by itself, in a task of its own."""
        return bool(self._by_class)

    @property
    def _by_class(self) -> Any:
        return getattr(self, "by_class", True)

    def describe(self) -> dict[str, Any]:
        """The options, JSON-able."""
        return asdict(self)

    def generate(self, material: Material, seed: tuple[int, ...]) -> Float32:
        """Learn, and make rows: class by class, in the order of their numbers.

        Same material and seed give the same bits, on processors of one kind and with one version
        of PyTorch.
        """
        require_torch(self.name)
        module = import_module(f"dask_distill.synthesis.{self.name}")
        number = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        made: Float32 = module.generate(self, material, int(number >> np.uint64(1)))
        return made


@dataclass(frozen=True, kw_only=True)
class GAN(Method):
    """A conditional GAN: a generator against a Wasserstein critic with gradient penalty.

    Parameters
    ----------
    steps : int
        Updates of the generator; the critic has as many.
    batch : int
        Rows of an update.
    width : int
        Units of each of two hidden layers.
    noise : int
        Random numbers that a row is made from.
    pack : int
        Rows that the critic sees together: more, where made rows are all alike.
    by_class : bool
        One GAN for each class, each in a task of its own; else one for all, told the class.

    References
    ----------
    Xu, Skoularidou, Cuesta-Infante, Veeramachaneni (2019), Modeling Tabular Data using
    Conditional GAN; Gulrajani et al. (2017), Improved Training of Wasserstein GANs; Lin et al.
    (2018), PacGAN.
    """

    name: ClassVar[str] = "gan"

    steps: int = option(2000, Interval(1, kind="int"))
    batch: int = option(256, Interval(2, kind="int"))
    width: int = option(128, Interval(1, kind="int"))
    noise: int = option(32, Interval(1, kind="int"))
    pack: int = option(1, Interval(1, kind="int"))
    by_class: bool = option(False, FLAG)


@dataclass(frozen=True)
class Diffusion(Method):
    """A diffusion model: a network learns to take Gaussian noise out of rows, step by step.

    Parameters
    ----------
    steps : int
        Updates of the network.
    batch, width : int
        As for `GAN`.
    levels : int
        Of noise: how many steps lead from noise to a row.
    by_class : bool
        As for `GAN`.

    References
    ----------
    Ho, Jain, Abbeel (2020), Denoising Diffusion Probabilistic Models; Kotelnikov, Baranchuk,
    Rubachev, Babenko (2023), TabDDPM; Nichol, Dhariwal (2021) for the cosine schedule; Chen,
    Zhang, Hinton (2023), Analog Bits, for categories as numbers.
    """

    name: ClassVar[str] = "diffusion"

    steps: int = option(2000, Interval(1, kind="int"))
    batch: int = option(256, Interval(2, kind="int"))
    width: int = option(128, Interval(1, kind="int"))
    levels: int = option(100, Interval(2, kind="int"))
    by_class: bool = option(False, FLAG)


@dataclass(frozen=True)
class Condensation(Method):
    """Distribution matching: few rows whose mean, seen by random networks, is that of many.

    Each class is condensed by itself.

    Parameters
    ----------
    steps : int
        Random networks, with one update of the rows for each.
    batch : int
        Real rows that an update compares with.
    width : int
        Units of each of two hidden layers.
    initial : "real" or "noise"
        Whether rows begin as real ones, drawn by weight, or as noise. What began as real rows
        stays near them: look at the report's distances before such rows are given away.

    References
    ----------
    Zhao, Bilen (2023), Dataset Condensation with Distribution Matching.
    """

    name: ClassVar[str] = "condensation"

    steps: int = option(300, Interval(1, kind="int"))
    batch: int = option(256, Interval(2, kind="int"))
    width: int = option(128, Interval(1, kind="int"))
    initial: str = option("real", OneOf("real", "noise"))


METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (GAN, Diffusion, Condensation)}


def make_method(method: str | Method, options: Mapping[str, Any] | None = None) -> Method:
    """A method by its name and options, which may be texts as on the command line.

    Raises
    ------
    InputError

    Examples
    --------
    >>> make_method("gan", {"steps": "100", "by_class": "true"}).steps
    100
    """
    if isinstance(method, Method):
        if options:
            raise InputError(
                "options must be given with the method's name, got a method object and options; "
                "give them to the object"
            )
        return method
    if not isinstance(method, str) or method not in METHODS:
        raise InputError(
            f"method must be one of {', '.join(METHODS)}, got {method!r}"
            f"{likely(str(method), [*METHODS])}"
        )
    kind = METHODS[method]
    known = {field.name: field.default for field in fields(kind)}
    unknown = [name for name in options or {} if name not in known]
    if unknown:
        raise InputError(
            f"options of {method} must be among {', '.join(known)}, got '{unknown[0]}'"
            f"{likely(unknown[0], [*known])}"
        )
    return kind(**{name: _value(text, known[name]) for name, text in (options or {}).items()})


def require_torch(name: str) -> None:
    """Refuse to go on without PyTorch.

    Raises
    ------
    InputError
    """
    if find_spec("torch") is None:
        raise InputError(
            f"synthetic rows by {name} need PyTorch, which is not installed here; run "
            "pip install 'dask-distill[torch]'"
        )


def _value(text: Any, default: Any) -> Any:
    """A text as what the option takes; left as it is where it is none."""
    if not isinstance(text, str) or isinstance(default, str):
        return text
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    return int(text) if text.lstrip("-").isdecimal() else text
