"""Hashed n-grams of text."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import HashingVectorizer


def ngram_features(text: Any, width: int = 32, *, words: bool = False) -> npt.NDArray[np.float32]:
    """(m, width) hashed n-grams, each row of length one."""
    kind = {"analyzer": "word", "ngram_range": (1, 2)} if words else {}
    made = HashingVectorizer(
        n_features=width, **({"analyzer": "char_wb", "ngram_range": (3, 4)} | kind)
    )
    found = made.transform([value or "" for value in text.to_pylist()]).toarray()
    return np.asarray(found, np.float32)
