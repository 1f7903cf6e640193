"""Made rows of a table: which columns they can have, and that their numbers go together.

Rows are made as the numbers that columns are read as. Numbers of one column are made each for
itself: here they become such as a row of the table could have.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.subset.subset import Subset
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.profile import CATEGORY, DATE, EMBEDDING, TEXT, Profile

Floats = npt.NDArray[np.float64]


def refuse_columns(coreset: Subset) -> None:
    """Refuse a subset of a table of which a column cannot be told from the numbers of it.

    Raises
    ------
    InputError
    """
    profile = profile_of(coreset)
    names = [column.name for column in profile.features if column.kind == TEXT] if profile else []
    if names:
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise InputError(
            "synthetic rows can have numbers, booleans, categories, dates and embeddings, got text "
            f"in {listed}: it is read as n-grams, of which no text can be made; select with it "
            f"left out (--column {names[0]}=leave-out)"
        )


def profile_of(coreset: Subset) -> Profile | None:
    """How the columns were read, where features are not the columns themselves."""
    stored = coreset.provenance.get("input", {}).get("profile")
    return None if not stored else Profile.parse(stored)


def tidied(X: Floats, profile: Profile | None) -> Floats:
    """(m, d) numbers such as rows of the table have.

    A category is one of its values, or none; of a column without a value the others are what
    stands in for it; a date's place in its cycles follows from the date.
    """
    if profile is None:
        return X
    found, start = X.copy(), 0
    for reader in Encoding(profile).readers:
        stop = start + len(reader.names)
        kind, told = reader.column.kind, reader.told
        part: Any = found[:, start:stop]
        gone = part[:, -1] > 0 if reader.marked else np.zeros(len(X), bool)
        if kind == CATEGORY:
            best = part.argmax(axis=1)
            some = part[np.arange(len(part)), best] > 0
            part[:] = 0
            part[some, best[some]] = 1
        elif kind == DATE:
            part[gone, 0] = told["fill"] - told["since"]
            for number, length in enumerate(told["cycles"]):
                angle = (part[:, 0] + told["since"]) % length * (2 * np.pi / length)
                part[:, 1 + 2 * number] = np.where(gone, 0.0, np.sin(angle))
                part[:, 2 + 2 * number] = np.where(gone, 0.0, np.cos(angle))
        elif kind == EMBEDDING:
            part[gone, : told["length"]] = told["fill"] or 0.0
        else:
            part[gone, 0] = told["fill"]
        start = stop
    return found
