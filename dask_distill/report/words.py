"""What a report says in words: how rows were selected, and how to get them again."""

import shlex
from collections.abc import Mapping
from typing import Any

from dask_distill.data.weights import UNNAMED, weight_line
from dask_distill.selection.provenance import shown_filled
from dask_distill.selection.subsets import shown_subsets
from dask_distill.spaces.words import SIZED, word_of
from dask_distill.storage.variables import STRATUM
from dask_distill.strategies import STRATEGIES, make_strategy
from dask_distill.subset.subset import Subset
from dask_distill.subset.summary import Settings, usual_oversample
from dask_distill.support.metrics import metric_named

# stands for the file of a profile that was given
PROFILE = "PROFILE"
_TRIALS = 5


def command(coreset: Subset) -> str:
    """The command line that selects the same rows, shell-quoted; a Python call for arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_distill import distill
    >>> command(distill(np.arange(90.0).reshape(30, 3), size=5, strategy="random"))
    "distill(features, size=5, strategy='random', seed=0)"
    """
    source = _source(coreset)
    parameters = coreset.provenance.get("parameters", {})
    # what only Python can be given
    given = {"proxy": parameters.get("proxy")}
    rules = {name: parameters.get(name) for name in ("protect", "initial")}
    given |= {name: rule for name, rule in rules.items() if not isinstance(rule, dict)}
    reduce = parameters.get("reduce")
    if reduce is not None and reduce.get("name") not in SIZED:
        given["reduce"] = reduce.get("function") or reduce.get("class")
    if _weight_name(coreset) == UNNAMED:
        given[UNNAMED] = "weights"
    if source is None or any(value is not None for value in given.values()):
        return _call(coreset, given)
    return shlex.join(str(word) for word in _words(coreset, source))


def circumstances(coreset: Subset) -> list[tuple[str, str]]:
    """Name and text of what is not so in every selection.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_distill import distill
    >>> circumstances(distill(np.arange(90.0).reshape(30, 3), size=5, reduce="pca:2"))[0][0]
    'Compared in'
    """
    told = coreset.provenance
    parameters, reduction = told.get("parameters", {}), told.get("reduction")
    lines = _read_lines(told.get("input", {}).get("profile"))
    if parameters.get("task", "classification") != "classification":
        lines.append(("Target", parameters["task"]))
    if reduction:
        lines.append(("Compared in", _space(reduction)))
    if filled := shown_filled(told.get("filled")):
        lines.append(("Filled in to compare", filled))
    if told.get("input", {}).get("time"):
        lines.append(("Time", told["input"]["time"]))
    if weights := told.get("input", {}).get("sample_weight"):
        lines.append(("Sample weights", weight_line(weights["name"], weights["sum"])))
    if told.get("subsets"):
        lines.append(("Subsets", shown_subsets(told["subsets"])))
    for name, word in (("rows_protected", "Protected"), ("rows_initial", "Chosen before")):
        count = (told.get("selection") or {}).get(name)
        if count:
            lines.append((word, f"{count:,} rows"))
    if told.get("search"):
        lines += _searched(told["search"])
    if told.get("growing"):
        lines += _grown(told["growing"])
    return lines


def _read_lines(profile: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What the user has said of how columns are read."""
    if not profile:
        return []
    if profile.get("given"):
        told = f"{PROFILE} was given; it is below, as input.profile of what is recorded"
        return [("Columns are read by", told)]
    asked = [f"{name} as {kind}" for name, kind in _asked(profile).items()]
    lines = [("Columns", "were named")] if profile.get("named") else []
    return [*lines, *([("Asked for", ", ".join(asked))] if asked else [])]


def _source(coreset: Subset) -> str | None:
    """Path or URL that was selected from; None for arrays."""
    if coreset.summary is not None:
        followed: str | None = coreset.summary.taken.get("source")
        return followed
    sources = coreset.provenance.get("input", {}).get("sources") or []
    return sources[0] if sources else None


def _words(coreset: Subset, place: str) -> list[Any]:
    told, summary = coreset.provenance, coreset.summary
    parameters, source = told.get("parameters", {}), told.get("input", {})
    renamed = source.get("renamed", {})
    sources = (source.get("sources") or []) if summary is None else [place]
    # of .npy files, the second holds the labels
    is_npy = place.endswith(".npy")
    places = [place] if is_npy else sources
    words = ["dask-distill", "run" if summary is None else "follow", *places, "TARGET"]
    profile = source.get("profile")
    if profile:
        words += _read_as(profile)
    elif not is_npy:
        columns = source.get("columns")
        name = renamed.get(coreset.feature_name, coreset.feature_name)
        words += ["--features", ",".join(columns) if columns else name]
    # a target that is no class is carried, under the name that strata of it are called after
    target = target_name(coreset)
    if target is not None:
        name = renamed.get(target, target)
        words += ["--labels", sources[1] if is_npy and len(sources) > 1 else name]
    for name in coreset.carry:
        words += [] if name == target else ["--carry", renamed.get(name, name)]
    by, amount = _amount(coreset)
    words += [f"--{by}", f"{amount}", "--strategy", parameters.get("strategy", "auto")]
    words += ["--subsets", f"{parameters['subsets']}"] if "subsets" in parameters else []
    for key, value in _changed_options(parameters).items():
        words += ["--option", f"{key}={value}"]
    words += ["--seed", str(told.get("seed", 0))]
    words += ["--certify"] if coreset.certificate is not None and summary is None else []
    wanted = _on_invalid(coreset)
    words += [] if wanted is None else ["--on-invalid", wanted]
    if "missing_label" in parameters:
        words += ["--missing-label", str(parameters["missing_label"])]
    reduce = parameters.get("reduce")
    more = {
        "--task": _unless(parameters.get("task"), "classification"),
        "--time": renamed.get(source.get("time"), source.get("time")),
        "--split": source.get("split"),
        "--where": source.get("where"),
        "--sample-weight": _weight_name(coreset),
        "--time-scale": parameters.get("time_scale"),
        "--scale": _unless(parameters.get("scale"), "auto"),
        "--reduce": None if reduce is None else word_of(reduce),
    }
    if summary is not None:
        more |= {
            "--oversample": _oversample(summary.settings),
            "--window": summary.settings.window,
            "--half-life": summary.settings.half_life,
        }
    for option, value in more.items():
        words += [] if value is None else [option, str(value)]
    for name in ("protect", "initial"):
        for rule in _rules(parameters.get(name)):
            words += [f"--{name}", rule]
    return words


def _read_as(profile: Mapping[str, Any]) -> list[str]:
    """How columns of a table are read, as far as that was asked for."""
    if profile.get("given"):
        return ["--profile", PROFILE]
    columns = profile["columns"]
    words = ["--features", ",".join(c["name"] for c in columns)] if profile.get("named") else []
    for name, kind in _asked(profile).items():
        words += ["--column", f"{name}={kind}"]
    return words


def _asked(profile: Mapping[str, Any]) -> dict[str, str]:
    """Columns whose kind was not found, but asked for."""
    return {c["name"]: c["kind"] for c in profile["columns"] if c.get("asked")}


def _on_invalid(coreset: Subset) -> str | None:
    """What becomes of rows with invalid values, unless that is what it is by itself."""
    told = coreset.provenance
    usual = "fill" if told.get("input", {}).get("profile") else "raise"
    found = told.get("parameters", {}).get("on_invalid")
    return None if found in (None, usual) else str(found)


def _weight_name(coreset: Subset) -> str | None:
    """Of sample weights; empty where none are wanted, None where there are none."""
    told = coreset.provenance.get("input", {}).get("sample_weight")
    return None if told is None else told["name"] if told else ""


def _rules(rules: dict[str, Any] | None) -> list[str]:
    """Rows apart, as words of a command line."""
    words: list[str] = []
    for key, value in (rules or {}).items():
        values = value if isinstance(value, list | tuple) else [value]
        words += [str(each) if key == "column" else f"{key}={each}" for each in values]
    return words


def _call(coreset: Subset, given: dict[str, Any]) -> str:
    told, summary = coreset.provenance, coreset.summary
    parameters = told.get("parameters", {})
    by, amount = _amount(coreset)
    profile, source = (told.get("input", {}).get(name) for name in ("profile", "sources"))
    words = ["features"] + (["labels"] if coreset.labels is not None else [])
    words = _of_table(coreset, profile) if profile else words
    words += [f"{by}={amount!r}", f"strategy={parameters.get('strategy', 'auto')!r}"]
    options = _changed_options(parameters)
    words += [f"options={options!r}"] if options else []
    words += [f"subsets={parameters['subsets']}"] if "subsets" in parameters else []
    reduce = parameters.get("reduce")
    if reduce is not None and "reduce" not in given:
        words.append(f"reduce={word_of(reduce)!r}")
    task = _unless(parameters.get("task"), "classification")
    words += [f"task={task!r}"] if task else []
    time = told.get("input", {}).get("time")
    words += [f"time={time!r}"] if time else []
    weights = _weight_name(coreset)
    # a source that is opened has them already
    if not (profile and source):
        words += [f"sample_weight={weights or False!r}"] if weights not in (None, UNNAMED) else []
    scale = parameters.get("time_scale")
    words += [f"time_scale={scale!r}"] if scale is not None else []
    scale = _unless(parameters.get("scale"), "auto")
    words += [f"scale={scale!r}"] if scale else []
    for name in ("protect", "initial"):
        rules = parameters.get(name)
        words += [f"{name}={rules!r}"] if isinstance(rules, dict) else []
    # of arrays and functions there is no more than a name
    words += [f"{name}=<{value}>" for name, value in given.items() if value is not None]
    wanted = _on_invalid(coreset)
    words += [] if wanted is None else [f"on_invalid={wanted!r}"]
    if "missing_label" in parameters:
        words.append(f"missing_label={parameters['missing_label']!r}")
    if summary is None:
        words += ["certify=True"] if coreset.certificate is not None else []
        return f"distill({', '.join([*words, _seed(told)])})"
    for name in ("window", "half_life"):
        value = getattr(summary.settings, name)
        words += [] if value is None else [f"{name}={value!r}"]
    kept = _oversample(summary.settings)
    words += ([] if kept is None else [f"oversample={kept}"]) + [_seed(told)]
    return f"grow({', '.join(words)}), and update(...) with each batch after the first"


def _of_table(coreset: Subset, profile: Mapping[str, Any]) -> list[str]:
    """What is selected from, as words of a call: a source that is opened, or a frame."""
    told = coreset.provenance.get("input", {})
    label, carry, sources = target_name(coreset), told.get("carry"), told.get("sources")
    carry = [name for name in carry or () if name not in (label, told.get("time"))]
    asked, weight = _asked(profile), _weight_name(coreset)
    read = [f"columns={asked!r}"] if asked else []
    read = [f"profile=<{PROFILE}>"] if profile.get("given") else read
    if not sources:
        words = ["frame", *([repr(label)] if label else [])]
        return [*words, *([f"carry={carry!r}"] if carry else []), *read]
    named = [c["name"] for c in profile["columns"]] if profile.get("named") else []
    words = [repr(sources[0] if len(sources) == 1 else sources)]
    words += [f"labels={label!r}"] if label else []
    words += [f"features={named!r}"] if named and not profile.get("given") else []
    carry += [told["time"]] if told.get("time") else []
    words += [f"carry={carry!r}"] if carry else []
    words += [f"split={told['split']!r}"] if told.get("split") else []
    words += [f"sample_weight={weight or False!r}"] if weight not in (None, UNNAMED) else []
    return [f"open_dataset({', '.join([*words, *read])})"]


def target_name(coreset: Subset) -> str | None:
    """The array or column that is to be predicted; None without any."""
    task = coreset.provenance.get("parameters", {}).get("task", "classification")
    name = coreset.label_name.removesuffix(STRATUM)
    if task != "classification":
        return name if name in coreset.carry else None
    return None if coreset.labels is None else coreset.label_name


def _amount(coreset: Subset) -> tuple[str, Any]:
    """What was asked for: a part, or a number of rows."""
    parameters = coreset.provenance.get("parameters", {})
    if coreset.summary is not None and coreset.summary.settings.size is not None:
        return "size", coreset.summary.settings.size
    by = "size" if parameters.get("fraction") is None else "fraction"
    return by, parameters.get(by)


def _oversample(settings: Settings) -> str | None:
    """As it was given."""
    kept = settings.oversample
    return None if kept == usual_oversample(settings.fraction) else repr(kept)


def _seed(told: dict[str, Any]) -> str:
    return f"seed={told.get('seed', 0)}"


def _unless(value: Any, usual: Any) -> Any:
    return None if value == usual else value


def _changed_options(parameters: dict[str, Any]) -> dict[str, Any]:
    """Options that are not as the strategy has them by itself."""
    strategy, options = parameters.get("strategy", "auto"), parameters.get("options", {})
    if strategy not in STRATEGIES:
        return dict(options)
    usual = make_strategy(strategy)
    return {
        key: value
        for key, value in options.items()
        if value is not None and getattr(usual, key, None) != value
    }


def _space(reduction: dict[str, Any]) -> str:
    words = [f"{reduction['space']}, {reduction['features']} features"]
    if reduction.get("explained_variance") is not None:
        words.append(f"{reduction['explained_variance']:.0%} of the variance")
    if reduction.get("explained_squares") is not None:
        words.append(f"{reduction['explained_squares']:.0%} of the squares")
    if reduction.get("time_scale") is not None:
        words.append(f"alike for {reduction['time_scale']:g} of time")
    return ", ".join(words)


def _searched(search: dict[str, Any]) -> list[tuple[str, str]]:
    """The verdict, and the trials that scored best."""
    whole = [t for t in search["trials"] if t["score"] is not None and not t["stopped"]]
    whole.sort(key=lambda trial: (-trial["score"], trial["number"]))
    lines = [("Search", search["verdict"])]
    for trial in whole[:_TRIALS]:
        options = ", ".join(f"{key}={value}" for key, value in trial["options"].items())
        told = f"{trial['strategy']}{f' ({options})' if options else ''}"
        metric = metric_named(search["metric"])
        value = metric.sign * trial["score"]
        shown = f"{value:.1%}" if metric.percent else f"{value:.3f}"
        score = f"{shown} {metric.words} with {trial['rows']:,} rows"
        lines.append((f"Trial {trial['number']}", f"{told}: {score}"))
    return lines


def _grown(growing: dict[str, Any]) -> list[tuple[str, str]]:
    batches = growing["batches"]
    lines = [
        (
            "Came in",
            f"{batches:,} {'batch' if batches == 1 else 'batches'}, each read when it came; "
            f"{growing['kept']:,} rows are remembered",
        )
    ]
    if growing["window"] is not None:
        lines.append(("Window", f"the last {growing['window']:,} rows"))
    if growing["half_life"] is not None:
        lines.append(("Half-life", f"{growing['half_life']:,g} rows"))
    return lines
