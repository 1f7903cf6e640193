"""A model beside the real thing: what must be readable, whatever was done and died on the way.

Hypothesis draws what processes do with one target, one after the other: run, resume, overwrite,
grow, update, follow, and at which change of theirs they die, fail, or wait while others read.
Each is a process of its own, and a death a real one (see `mortal`). After each, another process
reads the target to the last value. The model knows what it may find: what was there or what was
asked for, whole, as a calm process gives it; and what an unfinished run has left to resume.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, note, seed as seeded, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from dask_distill import open_coreset
from dask_distill.errors import DistillError

sys.path.insert(0, str(Path(__file__).parent))
import deeds
from bucket import PROTOCOL, Bucket
from mortal import Host, Strike

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="deaths are those of forks")
PROGRAM = Path(sys.executable).with_name("dask-distill")
STEPS = 25
RULES = ("run", "grow", "update", "follow", "table", "remove", "open", "read what was opened")
FILES = 5
# batches that are handed over, besides those that come as files
HANDED = (FILES, FILES + 1)
LONGEST = 5


@dataclass(frozen=True)
class State:
    """What is readable: by which deeds it came about, and the files that `follow` has taken."""

    recipe: tuple = ()
    taken: tuple | None = None


# on its way from one state to another: an object store is changed key by key
NOTHING, HALFWAY = State(), State(("halfway",))


@dataclass
class Place:
    """A target, and what the model knows of it."""

    path: str
    remote: str | None = None
    reader: str = "read"
    state: State = NOTHING
    # where it goes, while it is halfway
    goal: State = NOTHING
    # an unfinished run: what was asked, and whether it may overwrite
    pending: tuple | None = None
    # what killed processes without receipts have left beside it
    debris: set = field(default_factory=set)

    @property
    def finished(self):
        """Its state once somebody has finished what died halfway."""
        return self.goal if self.state == HALFWAY else self.state


@dataclass(frozen=True)
class Expected:
    """States that a reader may find while a deed is done, the last once it is.

    Or what is said of it instead, with the only state that is left then.
    """

    states: tuple = ()
    said: str | None = None


class Bench:
    """Hosts, the source, what calm processes give, and what was counted."""

    def __init__(self, folder):
        self.folder = folder
        self.source = str(folder / "in.zarr")
        deeds.make_source(self.source)
        self.writers, self.readers = Host(), Host()
        self.truths = {}
        self.counts = Counter()

    def close(self):
        for host in (self.writers, self.readers):
            host.__exit__()

    def truth(self, recipe):
        """What a reader must find of a recipe: digest and values, from processes that live."""
        if recipe not in self.truths:
            self.truths[recipe] = self._calm(recipe)
        return self.truths[recipe]

    def _calm(self, recipe):
        kind, name, *batches = recipe
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            target = os.path.join(folder, "calm")

            def do(deed, **arguments):
                told = self.readers.do(deed, folder=folder, target=target, **arguments)
                assert "done" in told, told
                return told["done"]

            if kind == "run":
                do("run", source=self.source, request=name)
            else:
                # what is sampled does not depend on how it was cut
                first = 1 if name == "kcenter" else len(batches)
                do("grow", settings=name, batches=batches[:first])
                batches = batches[first:]
            for batch in batches:
                do("update", batch=batch)
            found = do("read")
        return check_truth(recipe, {name: found[name] for name in ("digest", "values", "rows")})


def check_truth(recipe, found):
    """Rows are those of the source, weights sum to all."""
    kind, _, *batches = recipe
    parts = [deeds.rows_of(batch) for batch in batches]
    if kind == "run":
        parts.insert(0, deeds.source_rows())
    X, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    values = {name: np.asarray(value) for name, value in found["values"].items()}
    indices = values["indices"]
    assert np.all(np.diff(indices) > 0), recipe
    assert np.array_equal(values["features"].astype("f4"), X[indices]), recipe
    assert np.array_equal(values["labels"], y[indices]), recipe
    assert found["rows"] == len(X), recipe
    assert np.isclose(values["weights"].sum(), len(X)), recipe
    return found


def strikes_within(most):
    """Nothing, or something at one of the first so many changes."""
    kinds = st.sampled_from([None, None, "die", "die", "die", "die", "tear", "fail", "hold"])
    chances = st.tuples(kinds, st.integers(1, most))
    return chances.map(lambda drawn: Strike(*drawn) if drawn[0] else None)


strikes = strikes_within(130)
requests = st.sampled_from(sorted(deeds.REQUESTS))
usually = st.sampled_from([True, True, True, False])
growing = st.sampled_from(deeds.GROWING)


class Target(RuleBasedStateMachine):
    """One target, and all that is done with it."""

    bench = None
    remote = False

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.bench.folder))
        self.incoming = self.folder / "in"
        self.incoming.mkdir()
        (self.folder / "out").mkdir()
        path, remote = str(self.folder / "out" / "t"), None
        if self.remote:
            path, remote = f"{PROTOCOL}://out/t", str(self.folder / "out")
        self.place = Place(path, remote)
        self.kept = None
        self.deeds = 0
        # what another process might try to resume or discard meanwhile
        self.rival = None
        self.bench.counts["examples"] += 1

    def teardown(self):
        try:
            self.verify_by_command()
        finally:
            shutil.rmtree(self.folder)

    def verify_by_command(self):
        """Once a walk, as users do: it starts a Python of its own."""
        counts, place = self.bench.counts, self.place
        if self.remote or place.state == NOTHING or counts["commands"]:
            return
        self.count("commands")
        command = [PROGRAM, "verify", place.path, "--json"]
        told = json.loads(subprocess.check_output(command))
        assert told["ok"], told
        assert told["digest"] == self.bench.truth(place.state.recipe)["digest"]

    # ------------------------------------------------------------ what is done

    @rule(request=requests, overwrite=usually, strike=strikes)
    def run(self, request, overwrite, strike):
        place = self.place
        expected = Expected((place.finished, State(("run", request))))
        if not overwrite and place.state != NOTHING:
            expected = Expected(said="exists; choose another")
        elif not overwrite and place.pending:
            expected = Expected(said="has an unfinished run beside it")
        begun, how = (request, overwrite), {"request": request, "overwrite": overwrite}
        self.receipted("run", expected, strike, begun, **how)

    @rule(request=requests, strike=strikes)
    def resume(self, request, strike):
        self.resumed(request, strike)

    @precondition(lambda self: self.place.pending)
    @rule(strike=strikes)
    def resume_what_died(self, strike):
        self.resumed(self.place.pending[0], strike)

    def resumed(self, request, strike):
        place, new = self.place, State(("run", request))
        state = place.finished
        expected = Expected((state, new))
        asked, overwrite = place.pending or (None, False)
        if place.pending and asked != request:
            said = "must be resumed with what the run to resume was given"
            expected = Expected((state,), said)
        elif place.pending and state not in (NOTHING, new) and not overwrite:
            # another has written it since
            expected = Expected((state,), "exists; choose another")
        elif not place.pending and state not in (NOTHING, new):
            said = "must be resumed with what the run that wrote it was given"
            expected = Expected((state,), said)
        begun = place.pending or (request, False)
        self.receipted("run", expected, strike, begun, request=request, resume=True)

    @rule(name=growing, batch=st.sampled_from(HANDED), overwrite=usually, strike=strikes)
    def grow(self, name, batch, overwrite, strike):
        expected = Expected((self.place.finished, State(("grown", name, batch))))
        if self.place.state != NOTHING and not overwrite:
            expected = Expected(said="exists; choose another")
        more = {"settings": name, "batches": [batch], "overwrite": overwrite}
        self.plain("grow", expected, strike, **more)

    @precondition(lambda self: len(self.place.state.recipe) < 2 + LONGEST)
    @rule(batch=st.sampled_from(HANDED), strike=strikes)
    def update(self, batch, strike):
        state = self.place.state
        if state == NOTHING:
            expected = Expected(said="does not exist; check the path")
        elif state == HALFWAY:
            expected = Expected(said="is incomplete")
        else:
            expected = Expected((state, State((*state.recipe, batch), state.taken)))
        self.plain("update", expected, strike, batch=batch)

    @precondition(lambda self: len(self.place.finished.recipe) < 2 + LONGEST)
    @rule(name=growing, files=st.integers(0, 2), strike=strikes)
    def follow(self, name, files, strike):
        state = self.place.finished
        self.arrive(files)
        if state == NOTHING:
            expected = Expected((state, *self.followed((), name, ())))
        elif state.taken is None:
            expected = Expected((state,), "must follow the source")
        elif state.recipe[1] != name:
            expected = Expected((state,), f"strategy must be '{state.recipe[1]}' as it was")
        else:
            expected = Expected((state, *self.followed(state.recipe, name, state.taken)))
        more = {"source": str(self.incoming), "settings": name}
        self.plain("follow", expected, strike, **more)

    @precondition(lambda self: self.place.state != NOTHING)
    @rule()
    def remove(self):
        """The user does."""
        self.count("remove")
        place = self.place
        if place.remote:
            Bucket(place.remote).rm(place.path, recursive=True)
        else:
            shutil.rmtree(place.path)
        place.state = NOTHING

    @precondition(lambda self: not self.kept and self.place.state not in (NOTHING, HALFWAY))
    @rule()
    def open_and_keep(self):
        self.count("open")
        options = {"root": self.place.remote} if self.remote else {}
        self.kept = open_coreset(self.place.path, options), self.place.state

    @precondition(lambda self: self.kept)
    @rule()
    def read_what_was_opened(self):
        """Its own rows, or the sentence that they are no longer there."""
        self.count("read what was opened")
        (coreset, state), self.kept = self.kept, None
        try:
            values = deeds.values_of(coreset)
        except DistillError:
            values = None
        if values is None:
            assert self.place.state != state, "what is still there must be readable"
        else:
            assert values == self.bench.truth(state.recipe)["values"]

    # ------------------------------------------------------------ what came of it

    def receipted(self, deed, expected, strike, begun, **arguments):
        """A run: it keeps receipts, which another one may go on from."""
        place, before = self.place, self.place.pending
        resume = arguments.get("resume", False)
        arguments["source"] = self.bench.source
        self.rival = None if begun == before else begun
        told, struck = self.done(deed, expected, strike, place, **arguments)
        noted, names = self.look(place, told, expected, struck)
        if "done" in told:
            assert noted is None, f"receipts are left of a run that is done: {names}"
            left = names - place.debris
            assert struck or not left, f"left beside the target: {left}"
        elif not struck:
            assert noted == before, (noted, before)
        elif resume and before and expected.said is None:
            # what was finished stays, until it is where it belongs
            assert noted == before or place.state == expected.states[-1], (noted, before)
        else:
            assert noted in (before, None, begun), (noted, before, begun)
        place.pending = noted

    def plain(self, deed, expected, strike, place=None, **arguments):
        """What keeps no receipts: those of a run stay."""
        place = place or self.place
        self.rival = None
        told, struck = self.done(deed, expected, strike, place, **arguments)
        noted, names = self.look(place, told, expected, struck)
        assert noted == place.pending, (noted, place.pending)
        if struck:
            place.debris |= names

    def done(self, deed, expected, strike, place, **arguments):
        """What a process says of it, and whether it was disturbed."""
        self.count(deed)
        self.deeds += 1
        bench = self.bench
        how = {"folder": self.folder / "out", "number": self.deeds, "target": place.path}
        how |= arguments
        if place.remote:
            how["remote"] = place.remote
        told = bench.writers.do(deed, strike=strike, **how)
        if "held" in told:
            self.count("held")
            note(f"{deed}: held at {told['held']}")
            among = (place.state, *expected.states, *self.passing)
            found = self.seen(place, among)[1]
            self.refuse_rival(place, found["beside"]["noted"])
            told = bench.writers.go_on()
            strike = None
        note(f"{deed}: {told}")
        assert "crashed" not in told, told["crashed"]
        struck = strike is not None and (told.get("struck") is not None)
        self.count(next(word for word in ("done", "died", "refused", "failed") if word in told))
        sentence = told.get("refused", told.get("failed"))
        if sentence is not None and not (struck and strike.kind == "fail"):
            assert expected.said is not None, sentence
            assert re.search(re.escape(expected.said), sentence), (expected.said, sentence)
        if sentence is not None:
            assert "\n" not in sentence
        if "done" in told:
            assert expected.said is None, f"{expected.said}: must be refused, but was done"
        return told, struck

    def refuse_rival(self, place, noted):
        """Nobody resumes or discards a run that is at work; object stores have no locks."""
        if place.remote or self.rival is None or noted != [list(self.rival)]:
            return
        for how in ({"resume": True}, {"overwrite": True}):
            how |= {"source": self.bench.source, "request": self.rival[0]}
            told = self.bench.readers.do(
                "run", folder=self.folder / "out", target=place.path, **how
            )
            assert "another one is at work" in told.get("refused", ""), told
            self.count("rivals")

    def look(self, place, told, expected, struck):
        """What is there now, by another process; what must be."""
        if struck and "done" not in told:
            allowed = (place.state, *expected.states, *self.passing)
        else:
            allowed = (expected.states or (place.state,))[-1:]
        place.state, found = self.seen(place, allowed)
        noted = [tuple(entry) for entry in found["beside"]["noted"]]
        assert len(noted) < 2, noted
        return (noted[0] if noted else None), set(found["beside"]["names"])

    @property
    def passing(self):
        """States between two others: an object store is changed key by key."""
        return (HALFWAY,) if self.remote else ()

    def goal(self, place, allowed, found):
        """Where it goes: the whole subset lies beside the target, and nothing is lost."""
        assert "whole" in found, f"nothing says where the whole subset is: {found['incomplete']}"
        for state in (*allowed, place.goal):
            if state not in (NOTHING, HALFWAY) and self.is_it(place, state, found["whole"]):
                return state
        raise AssertionError(f"what is halfway is going to {found['whole']}, not to {allowed}")

    def seen(self, place, allowed):
        """The state of what a reader finds, which must be one of these."""
        how = {"target": place.path}
        if place.remote:
            how["remote"] = place.remote
        told = self.bench.readers.do(place.reader, folder=self.folder / "out", **how)
        assert "done" in told, told
        found = told["done"]
        for state in dict.fromkeys(allowed):
            if self.is_it(place, state, found):
                if state == HALFWAY:
                    place.goal = self.goal(place, allowed, found)
                return state, found
        shown = {name: found[name] for name in found if name != "values"}
        raise AssertionError(f"a reader found {shown}, not one of {allowed}")

    def is_it(self, place, state, found):
        if state in (NOTHING, HALFWAY):
            return ("nothing" if state == NOTHING else "incomplete") in found
        if "digest" not in found:
            return False
        truth = self.bench.truth(state.recipe)
        taken = found["taken"] and tuple(found["taken"])
        if place.reader == "read" and found["digest"] != truth["digest"]:
            return False
        same = found["values"] == truth["values"] and found["rows"] == truth["rows"]
        return same and taken == state.taken and not found["problems"]

    # ------------------------------------------------------------ what is followed

    def arrive(self, files):
        for _ in range(files):
            number = len(self.files())
            if number < FILES:
                X, y = deeds.rows_of(number)
                np.savez(self.incoming / f".{number}.npz", X=X, y=y)
                os.rename(self.incoming / f".{number}.npz", self.incoming / f"{number}.npz")

    def files(self):
        return tuple(sorted(name for name in os.listdir(self.incoming) if name[0] != "."))

    def followed(self, recipe, name, taken):
        """States that following goes through, one a file."""
        recipe = recipe or ("grown", name)
        for file in self.files():
            if file not in taken:
                recipe, taken = (*recipe, int(file[0])), (*taken, file)
                yield State(recipe, taken)

    def count(self, what):
        self.bench.counts[what] += 1


class LocalTarget(Target):
    """Folders; and a table of parquet files beside the group."""

    def __init__(self):
        super().__init__()
        self.table = Place(str(self.folder / "out" / "rows.parquet"), reader="read_table")

    @rule(request=requests, overwrite=usually, strike=strikes_within(12))
    def write_table(self, request, overwrite, strike):
        expected = Expected((self.table.state, State(("run", request))))
        if self.table.state != NOTHING and not overwrite:
            expected = Expected(said="exists; choose another")
        more = {"source": self.bench.source, "request": request, "overwrite": overwrite}
        self.plain("table", expected, strike, self.table, **more)


class BucketTarget(Target):
    """Keys of an object store."""

    remote = True


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("stateful"))
    yield bench
    bench.close()


def walk(machine, bench, number, steps):
    """So many steps; a failure tells how to see it again."""
    machine = type(machine.__name__, (machine,), {"bench": bench})
    counts = bench.counts
    counts.clear()
    examples = -(-steps // STEPS)
    how = settings(
        # some end early
        max_examples=examples + max(2, examples // 4),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seeded(number)(machine), settings=how)
    except BaseException as error:
        error.add_note(f"seed {number}: DISTILL_SEED={number} before pytest replays it")
        raise
    # a walk on which nothing happens shows nothing
    assert sum(counts[rule] for rule in RULES) >= steps, counts
    assert counts["died"] > steps / 25, counts
    assert counts["done"] > steps / 10, counts
    assert counts["refused"] > steps / 10, counts
    assert counts["held"] > 0, counts


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("machine", "steps"), [(LocalTarget, 300), (BucketTarget, 200)])
def test_model__five_hundred_steps(bench, machine, steps):
    walk(machine, bench, int(os.environ.get("DISTILL_SEED", "0")), steps)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(15))
@pytest.mark.parametrize(("machine", "steps"), [(LocalTarget, 1200), (BucketTarget, 800)])
def test_model__thirty_thousand_steps(bench, machine, steps, part):
    """Others each time, unless DISTILL_SEED says which."""
    fresh = random.SystemRandom().randrange(2**32)
    walk(machine, bench, int(os.environ.get("DISTILL_SEED", fresh)), steps)


# ---------------------------------------------------------------- what the model has found


def deaths(bench, folder, deed, step, **how):
    """A deed that dies at each ``step``-th change: where, and what a host then does and sees."""
    at = 1
    while True:
        remote = how["remote"] = str(folder / str(at))
        os.mkdir(remote)

        def do(deed, folder=remote, **more):
            return bench.writers.do(deed, folder=folder, target=f"{PROTOCOL}://out/t", **more)

        told = do(deed, strike=Strike("die", at), number=at, **how)
        if "died" not in told:
            return
        yield (
            told["struck"],
            lambda deed, do=do, remote=remote, **more: do(deed, remote=remote, **more),
        )
        at += step


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_bucket__a_run_that_dies_in_its_commit_is_resumed(bench, tmp_path, step):
    how = {"source": bench.source, "request": "random"}
    expected, halfway = bench.truth(("run", "random")), 0
    for struck, do in deaths(bench, tmp_path, "run", step, **how):
        seen = do("read")["done"]
        halfway += "incomplete" in seen
        assert "incomplete" not in seen or seen["whole"]["digest"] == expected["digest"], struck
        assert do("run", resume=True, **how)["done"] == expected["digest"], struck
        left = do("read")["done"]
        assert (left["digest"], left["beside"]["names"]) == (expected["digest"], []), struck
    assert halfway > 1


@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.soak)])
def test_bucket__a_follower_that_dies_in_its_commit_is_started_again(bench, tmp_path, step):
    """What it remembers of rows that are not read again lies beside the target, and is found."""
    source = tmp_path / "in"
    source.mkdir()
    for number in (0, 1):
        X, y = deeds.rows_of(number)
        np.savez(source / f"{number}.npz", X=X, y=y)
    (tmp_path / "out").mkdir()
    how = {"source": str(source), "settings": "random"}
    expected, halfway = bench.truth(("grown", "random", 0, 1)), 0
    for struck, do in deaths(bench, tmp_path / "out", "follow", step, **how):
        halfway += "incomplete" in do("read")["done"]
        assert "done" in do("follow", **how), struck
        left = do("read")["done"]
        assert (left["digest"], left["beside"]["names"]) == (expected["digest"], []), struck
    assert halfway > 1


def test_local__a_removal_that_dies_leaves_nothing_for_good(bench, tmp_path):
    """The old subset goes after the new one has its place: as large as that, and hidden."""
    target, how = str(tmp_path / "t"), {"source": bench.source}
    at, died_removing = 60, 0
    while True:
        shutil.rmtree(target, ignore_errors=True)

        def do(deed, **more):
            return bench.writers.do(deed, folder=tmp_path, target=target, **more)

        do("run", request="random-1", **how)
        told = do("run", request="random", overwrite=True, strike=Strike("die", at), **how)
        if "died" not in told:
            break
        died_removing += ".bin" in told["struck"]
        assert "done" in do("run", request="random", resume=True, **how), told
        assert os.listdir(tmp_path) == ["t"], told
        at += 4
    assert died_removing > 5


def test_local__what_a_run_has_replaced_is_not_taken_for_its_own_work(bench, tmp_path):
    """After the two have changed places, the old subset lies where the new one was written."""
    target, how = str(tmp_path / "t"), {"source": bench.source}
    expected = bench.truth(("run", "random"))["digest"]
    at, replaced = 54, []
    # the last changes of writing, and the first after the two have changed places
    while sum(replaced) < 3:

        def do(deed, **more):
            return bench.writers.do(deed, folder=tmp_path, target=target, **more)

        do("run", request="random-1", overwrite=True, **how)
        told = do("run", request="random", overwrite=True, strike=Strike("die", at), **how)
        replaced.append(do("read")["done"]["digest"] == expected)
        # so that nothing tells that it was done
        shutil.rmtree(target)
        assert do("run", request="random", resume=True, **how)["done"] == expected, told
        seen = do("read")["done"]
        assert (seen["digest"], seen["problems"]) == (expected, []), told
        at += 1
    assert not all(replaced)
