"""Digests of values, whatever their memory layout, and attributes that JSON can hold."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_DIGEST_BYTES = 16


def digest_values(values: npt.NDArray[np.generic]) -> str:
    """Hex digest of an array's values: text as length and UTF-8, numbers as little endian.

    Examples
    --------
    >>> digest_values(np.array(["a"])) == digest_values(np.array(["a"], dtype=object))
    True
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    if values.dtype.kind in "UOT":
        for text in values.ravel().tolist():
            encoded = str(text).encode(errors="surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        return digest.hexdigest()
    plain = np.ascontiguousarray(values)
    if plain.dtype.byteorder == ">":
        plain = plain.astype(plain.dtype.newbyteorder("<"))
    digest.update(plain.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def combined_digest(manifest: Mapping[str, Any]) -> str:
    """Hex digest of a whole manifest: names, shapes, types and all chunk digests."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def jsonable(value: Any) -> Any:
    """Plain Python for JSON: NumPy scalars unpacked, NaN and infinite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
