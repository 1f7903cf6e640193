"""Digests of the input."""

import hashlib
import zlib

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import RawBlock


def block_checksum(block: RawBlock) -> int:
    """Checksum of a block's values and labels, whatever width the source gave the labels."""
    if block.compact is not None:
        checksum = block.compact.checksum()
    else:
        checksum = zlib.crc32(_memory(block.X))
    if block.y is not None:
        checksum = zlib.crc32(_memory(_narrowest(block.y)), checksum)
    if block.time is not None:
        checksum = zlib.crc32(_memory(block.time), checksum)
    if block.weight is not None:
        checksum = zlib.crc32(_memory(block.weight), checksum)
    return checksum


def fingerprint_of(n: int, d: int, checksums: list[int]) -> str:
    """Digest of the whole input, of its blocks' checksums in order."""
    digest = hashlib.blake2b(repr((n, d)).encode(), digest_size=16)
    digest.update(np.array(checksums, "<u4").tobytes())
    return digest.hexdigest()


def _memory(values: npt.NDArray[np.generic]) -> memoryview:
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1).data


def _narrowest(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Text in the least width that holds it, whatever width the source gave it."""
    if labels.dtype.kind not in "OU":
        return labels
    text = labels.astype(np.str_)
    return text.astype(f"U{np.strings.str_len(text).max(initial=1)}")
