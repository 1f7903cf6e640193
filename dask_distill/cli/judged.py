"""Sources of what is judged: opened by the names that the subset's provenance tells."""

from typing import Any

from dask_distill.errors import InputError

# in place of a source: the one that a subset records
RECORDED = "recorded"


def found_names(dataset: Any, source: str, names: tuple[Any, Any]) -> tuple[Any, Any]:
    """Names by which test rows of another source are opened: those that were found in this one."""
    if _is_npy(source):
        return names
    features, labels = names
    if dataset.profile is not None:
        return features, labels or dataset.label_name
    columns = None if dataset.columns is None else list(dataset.columns)
    return features or columns or dataset.feature_name, labels or dataset.label_name


def _is_npy(source: str | list[str]) -> bool:
    return isinstance(source, str) and source.endswith(".npy")


def recorded_source(coreset: Any, target: str) -> str | list[str]:
    """What a subset was selected from, as it records it.

    Raises
    ------
    InputError
        Where it does not, or where what it records is not enough to open it, or not there.
    """
    from dask_distill.sources.files import is_pattern
    from dask_distill.storage.location import Location

    known = [str(url) for url in coreset.provenance.get("input", {}).get("sources", ())]
    if not known or any("***" in url for url in known):
        why = "hides a password of it" if known else "was selected from what no path names"
        raise InputError(f"source must be given for '{target}', which {why}; pass --source")
    for url in known:
        place = Location(url)
        if place.path is not None and not is_pattern(place) and not place.path.exists():
            raise InputError(
                f"source '{url}', which '{target}' records, does not exist; pass --source where it "
                "has moved"
            )
    return known[0] if len(known) == 1 else known


def names_in_source(
    coreset: Any, source: str | list[str], features: str | None, labels: str | None
) -> tuple[Any, Any]:
    """Names of features and labels in the source: those of the selection unless given."""
    if not _is_npy(source):
        told = coreset.provenance.get("input", {})
        # columns of a table go by their profile
        columns = None if told.get("profile") else told.get("columns")
        if told.get("profile"):
            return features, labels or _label_of(coreset)
        features = features or columns or source_name(coreset, coreset.feature_name)
        labels = labels or _label_of(coreset)
    return features, labels


def _label_of(coreset: Any) -> Any:
    task = coreset.provenance.get("parameters", {}).get("task") or "classification"
    # others have strata, which the source has not
    if coreset.labels is None or task != "classification":
        return None
    return source_name(coreset, coreset.label_name)


def source_name(coreset: Any, name: str | None) -> Any:
    """What an array of the subset is called in the source."""
    return coreset.provenance.get("input", {}).get("renamed", {}).get(name, name)


def weight_name(source: str | list[str], told: Any, given: str | None) -> Any:
    """Name of the source's sample weights: those of the selection unless given, False for none."""
    if given is not None or _is_npy(source):
        return given
    return told["name"] if told else False


def test_rows_of(
    source: str | list[str],
    tests: tuple[str, ...],
    names: tuple[Any, Any],
    storage: dict[str, str],
    profile: Any,
) -> Any:
    """Rows to test on: of another source, or two arrays; None where none are named.

    Columns of another table are read as those of the source: none of its rows is looked at for it.
    """
    if not tests:
        return None
    if len(tests) == 1:
        return opened(tests[0], *names, storage, profile=profile)
    if len(tests) > 2:
        raise InputError(
            "test must be one source, or two arrays (features and labels), got "
            f"{len(tests)} names; give one or two"
        )
    if _is_npy(source):
        return opened(tests[0], None, tests[1], storage)
    features, labels = tests
    return opened(source, features, labels, storage)


def read_as(arguments: dict[str, Any]) -> dict[str, Any]:
    """How columns of a table are to be read, from the words of a command line."""
    from dask_distill.cli.request import profile_in

    return {
        "columns": arguments["columns"] or None,
        "profile": profile_in(arguments["profile"]),
    }


def opened(
    source: str | list[str],
    features: Any,
    labels: Any,
    storage: dict[str, str],
    time: str | None = None,
    split: str | None = None,
    weight: Any = None,
    **read: Any,
) -> Any:
    """A source by these names, its time carried; columns of tables are ``read`` so."""
    from dask_distill.sources.open import open_dataset

    carry = () if time is None else (time,)
    names = {"features": features, "labels": labels, "carry": carry, "sample_weight": weight}
    return open_dataset(source, **names, storage_options=storage, split=split, **read)
