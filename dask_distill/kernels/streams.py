"""The register of random streams: every use of a seed has a number of its own here.

Two uses with one number are one draw: what is judged by random rows would be judged by its own.
Numbers are never used again, since with them other rows would be selected.
"""

from enum import IntEnum, unique


@unique
class Stream(IntEnum):
    """Streams of `row_hash`: what a row's number and the user's seed are hashed with."""

    SURVEY = 1
    FOLD = 2
    RANKING = 3
    SAMPLING = 5
    STRATA = 6
    KMEANS_FIRST = 7
    DENSITY = 9
    DBSCAN = 10
    EXEMPLARS = 11
    HIERARCHICAL = 12
    COMBINED = 13
    # and the numbers after it, one a draw
    KMEANS_DRAW = 16
    # hashes rows of all batches by their numbers in these; a selection, by those among kept rows
    RESERVOIR = 17
    PERIODS = 21
    SPACED = 22
    TIES = 23
    DEALING = 24
    PROFILE = 25
    SEARCH_POOL = 31
    SEARCH_RESERVE = 32
    # whoever judges draws from none that a selection draws from
    JUDGE_POOL = 101
    JUDGE_TEST = 102
    JUDGE_DRAW = 103
    JUDGE_PART = 104
    PICTURES = 105
    SYNTHESIS = 106


@unique
class Generator(IntEnum):
    """Streams of NumPy's generators, beside the user's seed.

    Two draw from the seed alone, and each but once: the rows that a target's quantiles are taken
    of, and the directions of a random projection.
    """

    CERTIFICATE = 5
    AUTOENCODER = 0xAE
    KMEANS = 0xC3
    EXEMPLARS = 0xE6
    FOURIER = 0xF0
    PROXY_AXES = 0xF1
    AUTO_POOL = 2**32
    AUTO_SAMPLE = 2**32 + 1
    REGIME = 2**32 + 2
    EVERYTHING = 2**32 + 3
