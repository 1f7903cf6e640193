"""What kind of column it is, from the rows that are looked at, and what reading it takes."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dask_distill.data.uses import named_like_an_id
from dask_distill.errors import InputError
from dask_distill.tables.columns import (
    as_days,
    as_numbers,
    as_text,
    as_vectors,
    is_date,
    is_number,
    is_text,
    is_vector,
    undictionaried,
)
from dask_distill.tables.ngrams import fit_ngrams
from dask_distill.tables.profile import (
    BOOLEAN,
    CATEGORY,
    CONSTANT,
    DATE,
    EMBEDDING,
    ID,
    LEFT_OUT,
    NUMBER,
    TEXT,
    ColumnProfile,
    overruled,
)

# categories that get a column of their own, and the width of what the others are hashed to
_MOST_KNOWN, _OTHERS = 30, 8
# rows of the sample that a value needs for a column of its own, where there are many values
_FEWEST = 5
# text of which more than this part of the values are different is no category
_FREE = 0.5
# and an id, where it has no blanks and nearly all values are different
_UNIQUE = 0.95
# numbers named like an id that have so few values are categories
_FEW = 50
# numbers of a text: as many as the encoding of a table has time for
_TEXT_WIDTH = 16
# a mark for missing values tells little where they are fewer
_FEWEST_NULLS = 5
# of fewer rows one cannot say that all are alike
_FEWEST_ROWS = 10
_ALIKE = "one value"
_LONGEST_VECTOR = 65_536
_ISO_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_MACHINE = re.compile(r"[0-9a-fA-F-]{16,}|[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]*")
_YEAR, _WEEK = 365.2425, 7.0


def column_profile(
    name: str, values: Any, asked: str = "", *, named: bool = False, complete: bool = True
) -> ColumnProfile:
    """How a column is read.

    Parameters
    ----------
    name : str
    values : Arrow array
        Of the rows that are looked at.
    asked : str
        The kind that the user wants; "" to find out.
    named : bool
        Whether the user has named it as a feature: it is one, then, whatever it looks like.
    complete : bool
        Whether these are all rows: of some, one does not know that all the others are alike.

    Returns
    -------
    ColumnProfile

    Raises
    ------
    InputError
        Where it cannot be read as asked.
    """
    nulls = _share(values.null_count, values)
    base = ColumnProfile(
        name=name, type=str(values.type), kind=LEFT_OUT, nulls=nulls, asked=bool(asked)
    )
    if asked in (LEFT_OUT, ID):
        return _but(base, kind=asked, why="asked for")
    readers: dict[str, Callable[[ColumnProfile, Any], ColumnProfile]] = {
        NUMBER: _number,
        BOOLEAN: _boolean,
        CATEGORY: _category,
        DATE: _date,
        TEXT: _text,
        EMBEDDING: _embedding,
    }
    if asked:
        _refuse_unreadable(name, values, asked)
        return readers[asked](_measured(base, values), values)
    found, why = _kind_of(name, values, named)
    if found == CONSTANT and why == _ALIKE and (named or not complete):
        found = _kind_of_type(values.type)
    if found not in readers:
        return _but(_measured(base, values), kind=found, why=why)
    return readers[found](_measured(base, values), values)


def _share(count: int, values: Any) -> float:
    return count / len(values) if len(values) else 0.0


def _but(profile: ColumnProfile, **fields: Any) -> ColumnProfile:
    return ColumnProfile(**(profile.__dict__ | fields))


def _measured(base: ColumnProfile, values: Any) -> ColumnProfile:
    """With the number of values, and the ends of their range."""
    plain = undictionaried(values)
    if is_vector(plain.type) or pa.types.is_nested(plain.type) or pa.types.is_binary(plain.type):
        return base
    if pa.types.is_null(plain.type):
        return base
    distinct = int(pc.count_distinct(plain).as_py())
    if is_number(plain.type):
        numbers = as_numbers(plain)
        missing = np.isnan(numbers)
        known = numbers[~missing]
        ends = (float(known.min()), float(known.max())) if len(known) else (None, None)
        nulls = _share(int(missing.sum()), values)
        distinct = len(np.unique(known))
        return _but(base, distinct=distinct, least=ends[0], greatest=ends[1], nulls=nulls)
    if pa.types.is_boolean(plain.type):
        return _but(base, distinct=distinct)
    ends = pc.min_max(plain).as_py()
    least, greatest = (None if end is None else str(end)[:60] for end in ends.values())
    return _but(base, distinct=distinct, least=least, greatest=greatest)


def _kind_of(name: str, values: Any, named: bool) -> tuple[str, str]:
    """The kind, and why it is no feature."""
    kind = values.type
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(kind) or values.null_count == len(values):
        return CONSTANT, "no values"
    if is_vector(inner):
        lengths = pc.unique(pc.drop_null(pc.list_value_length(values)))
        if len(lengths) > 1:
            return LEFT_OUT, "lists of differing length"
        if not 0 < lengths[0].as_py() <= _LONGEST_VECTOR:
            return LEFT_OUT, f"lists of {lengths[0].as_py():,} numbers"
        return EMBEDDING, ""
    if pa.types.is_boolean(inner):
        return _unless_constant(BOOLEAN, values)
    if is_date(inner):
        return _unless_constant(DATE, values)
    if is_number(inner):
        return _kind_of_numbers(name, values, named)
    if is_text(inner):
        return _kind_of_text(name, values, named)
    return LEFT_OUT, f"{_family(inner)} say nothing of what a row is like"


def _family(kind: Any) -> str:
    if pa.types.is_struct(kind):
        return "structs in structs in structs"
    if pa.types.is_map(kind):
        return "maps"
    if pa.types.is_nested(kind):
        return "lists that are not of numbers"
    return "bytes" if "binary" in str(kind) else str(kind)


def _kind_of_type(kind: Any) -> str:
    """How values of a type are read where nothing else is known of them."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_boolean(inner):
        return BOOLEAN
    return DATE if is_date(inner) else NUMBER if is_number(inner) else CATEGORY


def _unless_constant(kind: str, values: Any) -> tuple[str, str]:
    """The kind, unless all rows are alike, but for few in which there is no value."""
    few = len(values) < _FEWEST_ROWS
    distinct = pc.count_distinct(undictionaried(values)).as_py()
    if distinct < 2 and values.null_count < _FEWEST_NULLS and not few:
        return CONSTANT, _ALIKE
    return kind, ""


def _kind_of_numbers(name: str, values: Any, named: bool) -> tuple[str, str]:
    kind, why = _unless_constant(NUMBER, values)
    if kind == CONSTANT or named:
        return kind, why
    plain = undictionaried(values)
    if pa.types.is_dictionary(values.type):
        return CATEGORY, ""
    if pa.types.is_integer(plain.type) or (named_like_an_id(name) and _whole(plain)):
        known = pc.drop_null(plain)
        distinct = pc.count_distinct(known).as_py()
        if named_like_an_id(name):
            return (CATEGORY, "") if distinct <= _FEW else (ID, "named like an identifier")
        if len(known) > _FEW and distinct == len(known) and _counts(known):
            return ID, "counts the rows"
    return NUMBER, ""


def _whole(values: Any) -> bool:
    """Whether all are whole: pandas makes floats of whole numbers of which some are missing."""
    numbers = as_numbers(values)
    known = numbers[~np.isnan(numbers)]
    return len(known) > 0 and bool((known == np.floor(known)).all())


def _counts(numbers: Any) -> bool:
    """Whether whole numbers grow by one from row to row, but where rows were skipped."""
    steps = np.diff(numbers.cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False))
    return bool((steps > 0).all() and np.mean(steps == 1) > _UNIQUE)


def _kind_of_text(name: str, values: Any, named: bool) -> tuple[str, str]:
    known = pc.drop_null(as_text(values))
    distinct = pc.count_distinct(known).as_py()
    kind, why = _unless_constant(CATEGORY, values)
    if kind == CONSTANT:
        return kind, why
    if len(known) and pc.all(pc.match_substring_regex(known, _ISO_DATE)).as_py():
        return DATE, ""
    if distinct <= max(_MOST_KNOWN, _FREE * len(known)) and _words(known) <= 4:
        return CATEGORY, ""
    if not named and distinct >= _UNIQUE * len(known):
        if named_like_an_id(name):
            return ID, "named like an identifier"
        if all(_MACHINE.fullmatch(value) for value in known[:1000].to_pylist()):
            return ID, "a different word of letters and digits in every row"
    return TEXT, ""


def _words(texts: Any) -> float:
    """Words of a value, on average."""
    return float(pc.mean(pc.count_substring(pc.utf8_trim_whitespace(texts), " ")).as_py() or 0) + 1


def _refuse_unreadable(name: str, values: Any, asked: str) -> None:
    """End where a column cannot be read as the user wants."""
    inner = undictionaried(values).type
    fits = {
        NUMBER: is_number(inner) or pa.types.is_boolean(inner) or is_text(inner),
        BOOLEAN: pa.types.is_boolean(inner) or is_number(inner),
        DATE: is_date(inner) or is_text(inner),
        EMBEDDING: is_vector(inner),
        CATEGORY: not pa.types.is_nested(inner) and "binary" not in str(inner),
        TEXT: not pa.types.is_nested(inner) and "binary" not in str(inner),
    }
    if not fits[asked]:
        raise InputError(
            f"column {name!r} must be one that can be read as {asked}, got {inner}; leave it to "
            f"be found out, or out: {overruled(name, LEFT_OUT)}"
        )


# ---------------------------------------------------------------- what reading takes


def _number(base: ColumnProfile, values: Any) -> ColumnProfile:
    numbers = _numbers_in(base.name, values)
    missing = np.isnan(numbers)
    known = numbers[~missing]
    median = float(np.median(known)) if len(known) else 0.0
    return _but(base, kind=NUMBER, encoding={"fill": median, "mark": _marked(int(missing.sum()))})


def _numbers_in(name: str, values: Any) -> Any:
    try:
        return as_numbers(values)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"column {name!r} must hold numbers to be read as such, got "
            f"{' '.join(str(error).split())[:120]}; read it as category or text"
        ) from None


def _boolean(base: ColumnProfile, values: Any) -> ColumnProfile:
    numbers = as_numbers(values)
    missing = np.isnan(numbers)
    fill = float(np.mean(numbers[~missing]) >= 0.5) if (~missing).any() else 0.0
    return _but(base, kind=BOOLEAN, encoding={"fill": fill, "mark": _marked(int(missing.sum()))})


def _marked(nulls: int) -> bool:
    return nulls >= _FEWEST_NULLS


def _category(base: ColumnProfile, values: Any) -> ColumnProfile:
    """Frequent values have columns of their own; the others share some."""
    texts = as_text(values)
    counted = pc.value_counts(pc.drop_null(texts))
    names = counted.field("values").to_pylist()
    counts = counted.field("counts").to_pylist()
    # ties by the value, so that the order of rows does not matter
    ranked = sorted(zip(names, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    known = [value for value, _ in ranked]
    if len(known) > _MOST_KNOWN:
        known = [value for value, count in ranked[:_MOST_KNOWN] if count >= _FEWEST]
    more = len(ranked) - len(known)
    encoding = {"known": known, "others": min(more, _OTHERS), "mark": _marked(texts.null_count)}
    return _but(base, kind=CATEGORY, distinct=len(ranked), encoding=encoding)


def _date(base: ColumnProfile, values: Any) -> ColumnProfile:
    """Its position, and the cycles that the sample goes through."""
    try:
        days = as_days(values)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"column {base.name!r} must hold dates to be read as such, got "
            f"{' '.join(str(error).split())[:120]}; read it as category or text"
        ) from None
    missing = np.isnan(days)
    known = days[~missing]
    since = float(np.floor(np.median(known))) if len(known) else 0.0
    span = float(np.ptp(known)) if len(known) else 0.0
    hours = len(np.unique(np.floor(24 * (known % 1.0)))) if len(known) else 0
    cycles = {1.0: hours > 2, _WEEK: span > 2 * _WEEK, _YEAR: span > 1.5 * _YEAR}
    # weeks of which one sees one day alone have no cycle
    cycles[_WEEK] &= len(np.unique(np.floor(known % _WEEK))) > 1
    encoding = {
        "since": since,
        "fill": float(np.median(known)) if len(known) else 0.0,
        "cycles": [length for length, there in cycles.items() if there],
        "mark": _marked(int(missing.sum())),
    }
    return _but(base, kind=DATE, encoding=encoding)


def _text(base: ColumnProfile, values: Any) -> ColumnProfile:
    texts = as_text(values)
    projection = fit_ngrams(texts, _TEXT_WIDTH)
    encoding = {
        "width": _TEXT_WIDTH,
        "words": projection.words,
        "projection": projection.as_dict(),
        "mark": _marked(texts.null_count),
    }
    return _but(base, kind=TEXT, encoding=encoding)


def _embedding(base: ColumnProfile, values: Any) -> ColumnProfile:
    lengths = pc.unique(pc.drop_null(pc.list_value_length(values))).to_pylist()
    vectors = as_vectors(values, lengths[0]) if len(lengths) == 1 else None
    if vectors is None:
        raise InputError(
            f"column {base.name!r} must have as many numbers in every row to be read as an "
            f"embedding, got lists of {len(lengths)} lengths; pad them, or leave it out: "
            f"{overruled(base.name, LEFT_OUT)}"
        )
    known = vectors[~np.isnan(vectors).any(axis=1)]
    mean = known.mean(axis=0, dtype=np.float64) if len(known) else np.zeros(lengths[0])
    nulls = len(vectors) - len(known)
    encoding = {
        "length": lengths[0],
        # what stands in for a missing one: nearer to all than any other
        "fill": [round(float(value), 6) for value in mean] if nulls else [],
        "mark": _marked(nulls),
    }
    return _but(base, kind=EMBEDDING, nulls=_share(nulls, values), encoding=encoding)
