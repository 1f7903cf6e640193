"""Questions and block states as bytes and back, without pickle.

Plain values, arrays, and objects of this package's own classes; nothing else is written, and
nothing else is ever made of what is read. Arrays that the reader has already can be left out.
"""

import hashlib
import importlib
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

# counted up whenever our classes move: what names others is not sound
_MAGIC = b"dask_distill 4\n"
_DIGEST_BYTES = 16
_PACKAGE = "dask_distill."

Array = npt.NDArray[Any]


class NotEncodable(TypeError):  # noqa: N818
    """A value is of a kind that is not written: a user's function or model, say."""


class NotDecodable(ValueError):  # noqa: N818
    """Bytes are damaged, or speak of what is not there."""


def encode(value: Any, known: Mapping[str, Array] | None = None) -> bytes:
    """A value as bytes.

    Parameters
    ----------
    value : object
    known : mapping of arrays, optional
        Arrays that the reader will have under the same names: only their checksums are written.

    Raises
    ------
    NotEncodable

    Examples
    --------
    >>> decode(encode({"a": (1, np.arange(3))}))
    {'a': (1, array([0, 1, 2]))}
    """
    writer = _Writer({id(array): name for name, array in (known or {}).items()})
    tree = json.dumps(writer.node(value)).encode()
    body = len(tree).to_bytes(8, "little") + tree + writer.arrays.getvalue()
    return _MAGIC + _digest(body) + body


def is_sound(data: bytes) -> bool:
    """Whether bytes are what was written."""
    start = len(_MAGIC) + _DIGEST_BYTES
    return data[: len(_MAGIC)] == _MAGIC and data[len(_MAGIC) : start] == _digest(data[start:])


def decode(data: bytes, known: Mapping[str, Array] | None = None) -> Any:
    """The value of `encode`.

    Raises
    ------
    NotDecodable
        Where the bytes are damaged, or the known arrays are others than they were.
    """
    if not is_sound(data):
        raise NotDecodable("the bytes are not what was written")
    body = data[len(_MAGIC) + _DIGEST_BYTES :]
    try:
        size = int.from_bytes(body[:8], "little")
        tree = json.loads(body[8 : 8 + size])
        return _Reader(io.BytesIO(body[8 + size :]), known or {}).value(tree)
    except NotDecodable:
        raise
    except Exception as error:
        raise NotDecodable(f"{type(error).__name__}: {error}") from None


def checksum(array: Array) -> int:
    """Of an array's bytes."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()


@dataclass
class _Writer:
    """Makes a tree of lists for JSON; arrays go to a stream, each once."""

    known: dict[int, str]
    arrays: io.BytesIO = field(default_factory=io.BytesIO)
    # values that have been written, and kept alive so that no other gets their identity
    seen: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def node(self, value: Any) -> Any:
        if value is None or _plain(value):
            return value
        if id(value) in self.seen:
            return ["seen", self.seen[id(value)][0]]
        if isinstance(value, np.ndarray | np.generic):
            written = self._array(value)
        elif type(value) in (tuple, list):
            written = [type(value).__name__, [self.node(item) for item in value]]
        elif type(value) is dict:
            pairs = [[self.node(key), self.node(item)] for key, item in value.items()]
            written = ["dict", pairs]
        else:
            written = self._object(value)
        place = len(self.seen)
        self.seen[id(value)] = (place, value)
        return [*written, place]

    def _array(self, value: Any) -> list[Any]:
        name = self.known.get(id(value))
        if name is not None:
            return ["known", [name, checksum(value)]]
        array = np.asanyarray(value)
        if type(array) is not np.ndarray or array.dtype.hasobject or array.dtype.kind == "T":
            raise NotEncodable(f"arrays of {array.dtype} are not written")
        np.lib.format.write_array(self.arrays, array, allow_pickle=False)
        return ["scalar" if isinstance(value, np.generic) else "array", None]

    def _object(self, value: Any) -> list[Any]:
        kind = type(value)
        if not kind.__module__.startswith(_PACKAGE) or "<" in kind.__qualname__:
            raise NotEncodable(f"{kind.__module__}.{kind.__qualname__} is not written")
        # our classes leave out what can be made again
        own = any("__getstate__" in base.__dict__ for base in kind.__mro__[:-1])
        state = value.__getstate__() if own else dict(vars(value))
        return ["object", [f"{kind.__module__}:{kind.__qualname__}", self.node(state)]]


@dataclass
class _Reader:
    """Makes values of a tree, in the order in which they were written."""

    arrays: io.BytesIO
    known: Mapping[str, Array]
    seen: dict[int, Any] = field(default_factory=dict)

    def value(self, node: Any) -> Any:
        if not isinstance(node, list):
            return node
        kind, content, *place = node
        if kind == "seen":
            return self.seen[content]
        made = getattr(self, f"_{kind}")(content)
        self.seen[place[0]] = made
        return made

    def _tuple(self, content: list[Any]) -> tuple[Any, ...]:
        return tuple(self.value(item) for item in content)

    def _list(self, content: list[Any]) -> list[Any]:
        return [self.value(item) for item in content]

    def _dict(self, content: list[Any]) -> dict[Any, Any]:
        return {self.value(key): self.value(item) for key, item in content}

    def _array(self, _: None) -> Array:
        return np.lib.format.read_array(self.arrays, allow_pickle=False)

    def _scalar(self, _: None) -> Any:
        return self._array(_)[()]

    def _known(self, content: list[Any]) -> Array:
        name, expected = content
        array = self.known.get(name)
        if array is None or checksum(array) != expected:
            raise NotDecodable(f"array {name} is not what it was")
        return array

    def _object(self, content: list[Any]) -> Any:
        path, tree = content
        module, _, name = path.partition(":")
        if not module.startswith(_PACKAGE) or not name.isidentifier():
            raise NotDecodable(f"{path} is not ours")
        kind = getattr(importlib.import_module(module), name)
        if not isinstance(kind, type) or kind.__module__ != module:
            raise NotDecodable(f"{path} is no class of ours")
        made: Any = object.__new__(kind)
        state = self.value(tree)
        if hasattr(kind, "__setstate__"):
            made.__setstate__(state)
        else:
            made.__dict__.update(state)
        return made


def _plain(value: Any) -> bool:
    """Whether JSON gives the same back: not for subclasses, such as NumPy's scalars."""
    return type(value) in (bool, int, float, str)
