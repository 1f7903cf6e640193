"""Splits of a data set that files are named by: train, validation, test.

Hugging Face's rules, which much data follows: a name such as ``train-00000-of-00004.parquet``, or
one of the usual words in the name of a file or folder.
"""

import re
from collections import Counter
from collections.abc import Iterable

_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLITS = {word: split for split, words in _WORDS.items() for word in words}
_SHARD = re.compile(r"(\w+(?:\.\w+)*)-\d{5}-of-\d{5}\b.*")
_BETWEEN = re.compile(r"[-._ 0-9]+")


def usual_split(word: str) -> str:
    """The usual word for a split.

    Examples
    --------
    >>> [usual_split(word) for word in ("dev", "train", "train_sft")]
    ['validation', 'train', 'train_sft']
    """
    return _SPLITS.get(word.lower(), word)


def split_of(path: str) -> str | None:
    """The split that a file is of, by its name or else by its folders, the nearest first.

    Examples
    --------
    >>> split_of("data/train_sft-00000-of-00002.parquet"), split_of("dev/part-0.parquet")
    ('train_sft', 'validation')
    >>> split_of("2013-01.parquet"), split_of("latest/contest.parquet")
    (None, None)
    """
    *folders, name = path.split("/")
    shard = _SHARD.fullmatch(name)
    if shard:
        return usual_split(shard[1])
    for part in (name, *reversed(folders)):
        for word in _BETWEEN.split(part.lower()):
            if word in _SPLITS:
                return _SPLITS[word]
    return None


def splits_told(splits: Iterable[str | None]) -> str:
    """Splits and how many files are of each; empty where there are not several.

    Examples
    --------
    >>> splits_told(["test", "train", "train", None])
    'test (1 file), train (2 files), none (1 file)'
    """
    counts = Counter(splits)
    if len(counts.keys() - {None}) < 2:
        return ""
    order = sorted(counts, key=lambda split: (split is None, split or ""))
    return ", ".join(
        f"{split or 'none'} ({counts[split]} file{'s' if counts[split] > 1 else ''})"
        for split in order
    )
