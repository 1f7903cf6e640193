"""The house: what imports what beyond import-linter's contracts, which `make lint` holds."""

import ast
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

import dask_distill
from dask_distill.storage import variables

ROOT = Path(dask_distill.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def name(file):
    return file.relative_to(ROOT).as_posix()


def imports_of_ours(tree):
    """Modules of ours that are imported, and whether within a function."""
    for statement in tree.body:
        for node in ast.walk(statement):
            modules = []
            if isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            for module in modules:
                if module.startswith("dask_distill."):
                    yield module, node is not statement


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports__within_functions_are_there_for_weight_alone(file):
    """Commands import the library when they run; numba's loops are imported where it is there."""
    within = {module for module, inner in imports_of_ours(ast.parse(file.read_text())) if inner}
    if name(file).startswith("cli/") or file == ROOT / "__init__.py":
        return
    assert all(module.startswith("dask_distill.kernels._compiled") for module in within), within


# what takes long to import, or need not be installed
HEAVY = {
    *(
        "IPython",
        "cloudpickle",
        "dask",
        "dask_jobqueue",
        "dask_ml",
        "dask_kubernetes",
        "distributed",
        "fsspec",
    ),
    *("httpx", "imblearn", "jinja2", "kr8s", "markupsafe", "matplotlib", "numba", "optuna"),
    *("pandas", "pyarrow", "rich", "scipy", "sklearn", "torch", "tornado", "zarr"),
}


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports__of_others_within_functions_are_of_heavy_packages(file):
    for statement in ast.parse(file.read_text()).body:
        for node in ast.walk(statement):
            if node is statement or not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            package = module.partition(".")[0]
            assert package in HEAVY | sys.stdlib_module_names | {"dask_distill"}, module


# ---------------------------------------------------------------- who knows Dask's graphs

# here data sets and subsets are Dask arrays and frames, in and out: they are read, cut and written
COLLECTIONS = ("data", "sources", "tables", "subset", "storage", "report")
# on the way of a selection the engine alone does; what else may, and why
GRAPHS = {
    "runtime/dask_runner.py": "the engine",
    "runtime/chunks.py": "the doors of the engine: chunks as results, results as chunks",
    "runtime/runner.py": "the same doors, of the runner that makes calls at once",
    "survey/reading.py": "takes the source apart: a chunk is read by the task that needs it",
    "selection/marks.py": "a mask may be a Dask array, and has a digest",
    "selection/task.py": "a target is a Dask array: checked and cut into strata before a run",
    "selection/rare_labels.py": "the same, of several labels",
    "spaces/whole.py": "dask-ml takes Dask arrays",
    "evaluation/whole.py": "dask-ml takes Dask arrays",
    "evaluation/splits.py": "weights of the rows at hand come here",
    "evaluation/gathering.py": "times of the rows at hand come here",
    "synthesis/judging.py": "synthetic rows come here",
    "synthesis/synthetic.py": "weights of synthetic rows come here",
    "growing/start.py": "rows that are kept are Dask arrays that stay on the workers",
    "growing/update.py": "the same, batch after batch",
    "growing/tables.py": "the same, with all columns",
    "rounds/first.py": "gives a Dask frame, of a Dask array",
    "rounds/second.py": "gives a Dask frame, of a Dask frame",
    "selection/scored.py": "gives Dask arrays by map_blocks, in the chunks of those it is given",
    "labelling.py": "rows to be labelled come here",
}
BUILDING = {"HighLevelGraph", "delayed", "from_delayed", "futures_of", "map_blocks", "to_delayed"}
BUILDING |= {"Delayed", "as_completed", "blockwise", "compute", "map_partitions", "persist"}


def words_of_graphs(file):
    """What a module names that makes graphs, takes them apart or has them computed."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            yield from {node.attr} & BUILDING
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.partition(".")[0] in ("dask", "distributed"):
                yield from {alias.name for alias in node.names} & BUILDING
            if node.module == "dask._task_spec":
                yield node.module


def test_graphs__are_known_to_the_engine_and_to_what_deals_in_dask_arrays():
    found = {name(file) for file in FILES if any(words_of_graphs(file))}
    beside = {module for module in found if module.partition("/")[0] not in COLLECTIONS}
    assert beside == set(GRAPHS)
    assert {module.partition("/")[0] for module in found - beside} == set(COLLECTIONS)


def test_engine__is_chosen_where_a_run_is_made():
    found = {
        name(file)
        for file in FILES
        for module, _ in imports_of_ours(ast.parse(file.read_text()))
        if module.startswith("dask_distill.runtime.dask_runner.")
    }
    assert found == {"conversation/run.py"}


@pytest.mark.parametrize("file", sorted((ROOT / "strategies/parts").glob("*.py")), ids=name)
def test_parts__know_no_strategy(file):
    known = ("dask_distill.strategies.base.", "dask_distill.strategies.parts.")
    for module, _ in imports_of_ours(ast.parse(file.read_text())):
        assert not module.startswith("dask_distill.strategies.") or module.startswith(known), module


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES}), ids=name)
def test_folders__begin_with_their_charter(folder):
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def test_coreset__is_named_by_no_floor_below():
    top = ("pipeline", "coreset", "distiller", "labelling", "curve", "follow", "__init__")
    above = ("cli/", *(f"{module}.py" for module in top))
    for file in FILES:
        found = [module for module, _ in imports_of_ours(ast.parse(file.read_text()))]
        if not name(file).startswith(above):
            assert not [module for module in found if module.startswith("dask_distill.coreset.")]


# ---------------------------------------------------------------- what fits in the head

# what users call, and commands
MANY_WORDS = {
    "distill",
    "grow",
    "evaluate",
    "evaluate_synthetic",
    "label_in_batches",
    "open_dataset",
    "report",
    "score",
    "size_curve",
}


def functions():
    for file in FILES:
        text = file.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                yield file, node, text.splitlines()


def lines_of_code(function, lines):
    """Without its docstring, comments and blank lines."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    told = range(function.body[0].lineno, function.body[0].end_lineno + 1)
    span = range(function.lineno, body[-1].end_lineno + 1 if body else function.lineno)
    skipped = set(told) if ast.get_docstring(function) else set()
    kept = [lines[i - 1].strip() for i in span if i not in skipped]
    return sum(bool(line) and not line.startswith("#") for line in kept)


def test_functions__are_short():
    long = {
        node.name: count
        for _, node, lines in functions()
        if (count := lines_of_code(node, lines)) > 60
    }
    assert len(long) <= 2, long
    assert max(long.values(), default=0) < 65, long


def test_select__is_a_line_a_stage():
    (found,) = [
        lines_of_code(node, lines)
        for file, node, lines in functions()
        if name(file) == "selection/select.py" and node.name == "select"
    ]
    assert found <= 40


def test_modules__are_short():
    long = {name(file): n for file in FILES if (n := len(file.read_text().splitlines())) > 400}
    assert not long


def test_parameters__are_few_but_where_users_call():
    for file, node, _ in functions():
        given = node.args
        taken = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        taken = [word for word in taken if word not in ("self", "cls")]
        assert len(taken) <= 10 or node.name in MANY_WORDS, f"{name(file)}: {node.name}"


def records():
    for file in FILES:
        # numba's loops cannot be imported without it, and hold none
        if not file.name.startswith("_compiled"):
            module = ".".join(file.relative_to(ROOT.parent).with_suffix("").parts)
            for kind in vars(import_module(module.removesuffix(".__init__"))).values():
                if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module:
                    yield kind


def test_records__of_more_than_five_fields_are_built_by_name():
    found = set()
    for kind in records():
        given = [field for field in fields(kind) if field.init]
        own = [field for field in given if field.name in vars(kind).get("__annotations__", {})]
        if len(given) > 5 and not all(field.kw_only for field in own):
            found.add(f"{kind.__module__}.{kind.__name__}")
    assert not found


# ---------------------------------------------------------------- one place for a name

# of arrays and columns that are stored
STORED = {
    *(variables.INDEX, variables.WEIGHT, variables.SUBSET_WEIGHT),
    *(variables.SCORE, variables.NULL, variables.SUMMARY),
    *(variables.INDEX_COLUMN, variables.WEIGHT_COLUMN, variables.SUBSET_WEIGHT_COLUMN),
    *(variables.SCORE_COLUMN, variables.SCORE_OF_FRAME, variables.FEATURES, variables.LABELS),
}
# the same word for something else
OTHERWISE = {
    # what the rows of a class weigh, in the provenance
    ("growing/choosing.py", "weight"),
    ("selection/provenance.py", "weight"),
    ("selection/shares.py", "weight"),
    # columns of other people's tables
    ("data/uses.py", "index"),
    ("data/uses.py", "y"),
    # fields of records
    ("data/blocks.py", "X"),
    ("kernels/frontier.py", "X"),
    ("strategies/combined.py", "X"),
    ("strategies/parts/held.py", "X"),
    # a part of what is known of a row while models learn, and the words of an axis
    ("evaluation/learner.py", "weight"),
    ("report/pictures.py", "weight"),
    # parameters of scikit-learn, and what nobody sees
    ("distiller.py", "X"),
    ("selection/task.py", "y"),
    # a parameter of a task's function
    ("selection/scored.py", "y"),
}


def strings(tree):
    """Strings of a module, and the beginnings of formatted ones; no docstrings."""
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def test_names_of_what_is_stored__are_in_one_place():
    found = {
        (name(file), word)
        for file in FILES
        if name(file) != "storage/variables.py"
        for word in strings(ast.parse(file.read_text()))
        if word in STORED
    }
    assert found == OTHERWISE
