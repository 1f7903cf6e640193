"""What a call gives before anybody has seen it: a reference to a result, wherever that lies."""

from abc import ABC
from typing import Generic, TypeVar

Value_co = TypeVar("Value_co", covariant=True)


class Handle(ABC, Generic[Value_co]):
    """A result that is still to be made, or lies on a worker: ``Handle[T]`` is of a ``T``.

    Nothing can be done with one but to give it to a `Runner`: as an argument of a call, which gets
    the value; to settle it; to fetch it. What an engine gives under this type is its own matter: a
    future of its own that inherits from this class, or a class of others that is registered with
    it (``Handle.register``), so that a handle is known among arguments that are plain values.
    """
