"""What is lost beside accuracy? Metrics by hand, and subsets whose loss accuracy does not see."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    make_scorer,
    recall_score,
    roc_auc_score,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from dask_distill import Evaluation, InputError, SizeCurve, distill, search_strategy, size_curve
from dask_distill.cli.main import cli
from dask_distill.data.dataset import as_dataset
from dask_distill.data.rows import rows_of
from dask_distill.evaluation.curve_verdict import verdict_on_curve
from dask_distill.evaluation.losses import Losses
from dask_distill.evaluation.metrics import (
    BINS,
    CLIP,
    Prediction,
    answer_of,
    calibration_error,
    measures_of,
    metrics_of,
)
from dask_distill.evaluation.result import verdict_on_subset
from dask_distill.evaluation.splits import split_rows
from dask_distill.evaluation.statistics import ALL_MODELS, Difference, interval, rarest_classes
from dask_distill.evaluation.training import LabelledRows, standard_models_named, train_and_test
from dask_distill.search.result import StrategySearch
from dask_distill.support.metrics import METRICS, as_metrics, shown_value

LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
FAST = {"models": LINEAR, "seeds": 5, "max_rows": 4000}


def fuzzy(n=12_000, seed=0):
    """Few are late; the first feature tells how likely that is, which is never more than not."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    late = rng.random(n) < 0.02 + 0.11 / (1 + np.exp(-3 * X[:, 0]))
    return X, np.where(late, "late", "on time")


def chosen(X, y, rows, weights=None):
    """A subset of these rows."""
    coreset = distill(X, y, size=len(rows), strategy="random")
    coreset = replace(coreset, indices=rows, **rows_of(as_dataset(X, y), rows))
    return coreset if weights is None else replace(coreset, weights=weights.astype(np.float32))


def cleaned(X, y, k=2000):
    """Random rows, of the late ones but those of a kind; these are weighed up for the others."""
    rows = np.sort(np.random.default_rng(1).choice(len(y), k, replace=False))
    late = y[rows] == "late"
    kept = ~late | (X[rows, 1] > 0)
    weights = np.where(late, late.sum() / (late & kept).sum(), 1.0)[kept]
    return chosen(X, y, rows[kept], weights * len(y) / weights.sum())


@pytest.fixture(scope="module")
def data():
    return fuzzy()


@pytest.fixture(scope="module")
def lossy(data):
    return cleaned(*data).evaluate(*data, **FAST)


# ---------------------------------------------------------------- by hand


def hand_made(classes, seed=0, m=300):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(classes) * 0.7, size=m)
    codes = np.array([rng.choice(classes, p=0.7 * row + 0.3 / classes) for row in P])
    return P, codes, rng.integers(1, 4, m).astype(float)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_metrics__are_scikit_learns(classes, weighted):
    P, codes, weights = hand_made(classes)
    w = weights if weighted else None
    found, recalls = metrics_of(Prediction(P.argmax(axis=1), P, P), codes, w, classes, rarest=1)
    right = P.argmax(axis=1)
    scores = P[:, 1] if classes == 2 else P
    expected = {
        "accuracy": np.average(right == codes, weights=w),
        "balanced_accuracy": balanced_accuracy_score(codes, right, sample_weight=w),
        "worst_class_recall": min(recall_score(codes, right, average=None, sample_weight=w)),
        "roc_auc": roc_auc_score(codes, scores, multi_class="ovr", sample_weight=w),
        "average_precision": average_precision_score(codes == 1, P[:, 1], sample_weight=w),
        "log_loss": log_loss(codes, P, sample_weight=w),
        "brier": brier_score_loss(codes, scores, sample_weight=w),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=2e-5)
    assert np.allclose(recalls, recall_score(codes, right, average=None, sample_weight=w))
    squares = ((P - np.eye(classes)[codes]) ** 2).sum(axis=1)
    halved = np.average(squares, weights=w) / (2 if classes == 2 else 1)
    assert found["brier"] == pytest.approx(halved)
    assert set(found) == set(METRICS)


@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_error__bin_by_bin(weighted):
    P, codes, weights = hand_made(3)
    P[0] = [1, 0, 0]
    w = weights if weighted else np.ones(len(codes))
    highest, right = P.max(axis=1), P.argmax(axis=1) == codes
    total = 0.0
    for low in np.arange(BINS) / BINS:
        inside = (highest > low) & (highest <= low + 1 / BINS)
        if inside.any():
            gap = np.average(right[inside], weights=w[inside])
            gap -= np.average(highest[inside], weights=w[inside])
            total += w[inside].sum() / w.sum() * abs(gap)
    assert calibration_error(P, codes, weights if weighted else None) == pytest.approx(total)


def test_metrics__a_class_that_was_not_trained_on_is_paid_for():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    model = LogisticRegression().fit(X, y)
    test = np.array([0, 1, 2])
    answer = answer_of(model, X[:3], y, 3)
    assert answer.probabilities.shape == (3, 3)
    assert (answer.probabilities[:, 2] == 0).all()
    found, _ = metrics_of(answer, test, None, 3)
    P = np.clip(answer.probabilities, CLIP, 1)
    P /= P.sum(axis=1, keepdims=True)
    assert found["log_loss"] == pytest.approx(log_loss(test, P))
    assert -np.log(P[2, 2]) == pytest.approx(13.8, abs=0.02)
    areas = [roc_auc_score(test == c, answer.probabilities[:, c]) for c in (0, 1)]
    assert found["roc_auc"] == pytest.approx(np.mean([*areas, 0.5]))


def test_metrics__of_one_class_alone_rank_nothing():
    half = np.full((3, 2), 0.5)
    found, recalls = metrics_of(Prediction(np.zeros(3, int), half, half), np.zeros(3, int), None, 2)
    assert np.isnan(found["roc_auc"])
    assert found["accuracy"] == 1
    assert np.isnan(recalls[1])


def test_answer__probabilities_tell_classes_where_they_are_sure_to(monkeypatch):
    X, y = np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 3
    model = KNeighborsClassifier().fit(X, y)
    expected = model.predict(X)
    monkeypatch.setattr(KNeighborsClassifier, "predict", lambda *_: pytest.fail("asked twice"))
    assert np.array_equal(answer_of(model, X, y, 3).predicted, expected)


class Contrary(LogisticRegression):
    """Predicts what it holds for unlikely, as a calibrated SVC may."""

    def predict(self, X):
        return 1 - super().predict(X)


def test_answer__predictions_count_where_probabilities_say_otherwise():
    X = np.random.default_rng(0).normal(size=(90, 2))
    y = (X[:, 0] > 0).astype(int)
    model = Contrary().fit(X, y)
    answer = answer_of(model, X, y, 2)
    assert np.array_equal(answer.predicted, model.predict(X))
    assert not np.array_equal(answer.predicted, answer.probabilities.argmax(axis=1))
    rare = metrics_of(answer, y, None, 2)[0]
    assert rare["accuracy"] < 0.1
    assert rare["roc_auc"] > 0.9


@pytest.mark.parametrize("classes", [2, 3])
def test_answer__decision_functions_rank(classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, classes, 200)
    X[:, 0] += y
    model = LinearSVC().fit(X, y)
    found, _ = metrics_of(answer_of(model, X, y, classes), y, None, classes, rarest=1)
    values = model.decision_function(X)
    values = np.stack([-values, values], axis=1) if classes == 2 else values
    areas = [roc_auc_score(y == c, values[:, c]) for c in range(classes)]
    assert found["roc_auc"] == pytest.approx(np.mean(areas))
    assert found["average_precision"] == pytest.approx(
        average_precision_score(y == 1, values[:, 1])
    )
    assert np.isnan([found[name] for name in ("log_loss", "brier", "calibration_error")]).all()


def test_rarest__counts_weights():
    assert rarest_classes([np.array([0, 0, 1])], [None], 3) == [1, 0]
    assert rarest_classes([np.array([0, 0, 1])], [np.array([1, 1, 5.0])], 3) == [0, 1]


# ---------------------------------------------------------------- what accuracy does not see


def test_evaluate__a_fuzzy_minority_that_was_cleaned_is_a_loss(lossy):
    """Accuracy alone would have called it fine."""
    for way in ("random", "stratified"):
        gap = lossy.difference(way, "accuracy")
        assert gap.low < 0 < gap.high
        assert abs(gap.mean) < 0.005
    assert lossy.score("subset").accuracy / lossy.score("everything").accuracy > 0.995
    assert lossy.difference("stratified", "roc_auc").mean < -0.1
    first, _, rest = lossy.verdict.partition(". ")
    assert first.startswith(
        "The subset is worse than a class-stratified random one of its size in ROC AUC (−1"
    )
    assert "in log loss (+0.0" in first
    assert "worth it" not in lossy.verdict
    assert rest.startswith("Random does as well here in accuracy, as far as these draws can tell")
    assert lossy.rarest_class == "late"
    assert "average precision is of late, the rarest class" in str(lossy)
    assert "Intervals in square brackets hold for all 7 metrics and recalls" in str(lossy)


def test_evaluate__the_class_that_is_lost_is_named():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 4))
    y = np.where(X[:, 0] + 0.3 * rng.normal(size=8000) > 1.2, "late", "on time")
    late, others = np.flatnonzero(y == "late"), np.flatnonzero(y != "late")
    rows = np.sort(np.concatenate([rng.choice(late, 16, False), rng.choice(others, 784, False)]))
    found = chosen(X, y, rows, np.ones(800)).evaluate(X, y, **FAST)
    assert "in recall of class late (−" in found.verdict.partition(". ")[0]
    gap = found.difference("stratified", "recall:late")
    assert gap.worse
    assert gap.mean == pytest.approx(found.difference("stratified", "worst_class_recall").mean)


def difference(metric, mean, half, against="random"):
    return Difference(
        against=against,
        metric=metric,
        model=ALL_MODELS,
        mean=mean,
        low=mean - half,
        high=mean + half,
    )


def judged(found, *gaps):
    """The verdict where all but these differences are none."""
    known = {(each.against, each.metric): each for each in gaps}
    flat = [
        known.get((e.against, e.metric), replace(e, mean=0.0, low=-0.01, high=0.01))
        for e in found.differences
        if e.model == ALL_MODELS
    ]
    return verdict_on_subset(found.scores, flat)


def test_verdict__worth_it_is_what_loses_nothing(lossy):
    gains = [difference("accuracy", 0.05, 0.01, way) for way in ("random", "stratified")]
    assert judged(lossy, *gains).startswith("The subset is worth it: against")
    lost = difference("log_loss", 0.25, 0.04, "stratified")
    text = judged(lossy, *gains, lost)
    assert text.startswith(
        "The subset is worse than a class-stratified random one of its size in log loss (+0.250 ["
    )
    assert "It is better in accuracy: against" in text
    assert "worth it" not in text
    # beyond its own interval, though not beyond that of all together
    doubt = judged(lossy, *gains, difference("log_loss", 0.25, 0.2, "stratified"))
    assert doubt.startswith("The subset is better in accuracy: against")
    assert doubt.endswith("it may be worse in log loss, +0.250 (+0.050 to +0.450).")
    assert "worth it" not in doubt


def test_verdict__names_what_is_better_though_accuracy_is_not(lossy):
    gains = [difference("roc_auc", 0.05, 0.01, way) for way in ("random", "stratified")]
    text = judged(lossy, *gains)
    assert text.startswith("Random does as well here in accuracy, as far as these draws can tell:")
    assert "it is better in ROC AUC (+5.0 points [" in text
    one = judged(lossy, gains[0])
    assert "better in ROC AUC" not in one


def test_verdict__the_better_of_both_counts(lossy):
    """Worse than one draw and better than the other is worse than the better one."""
    text = judged(
        lossy,
        difference("roc_auc", 0.1, 0.01, "random"),
        difference("roc_auc", -0.1, 0.01, "stratified"),
    )
    assert text.startswith("The subset is worse than a class-stratified random one of its size in")


def test_losses__of_equals_are_rare():
    """A subset drawn as its peers are: in one of twenty judgements something is lost for sure."""
    rng = np.random.default_rng(0)
    alarms, names = [], [*METRICS, "recall:a", "recall:b"]
    for _ in range(400):
        gaps = []
        for name in names:
            luck, draws = rng.normal(), rng.normal(size=(2, 5))
            both = [luck - mine for mine in draws]
            for way, gap in zip(("random", "stratified"), both, strict=True):
                gaps.append(Difference.of(way, name, ALL_MODELS, interval(gap, both)))
        alarms.append(bool(Losses.of(gaps, 5).sure))
    assert np.mean(alarms) < 0.06


# ---------------------------------------------------------------- with weights and without


def widest(found):
    """Columns that the tables take."""
    return max(map(len, str(found).partition(found.verdict)[0].splitlines()))


def test_evaluate__says_where_weights_do_harm(data):
    X, y = data
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(y), 800, replace=False))
    weights = rng.pareto(0.5, 800) + 0.01
    coreset = chosen(X, y, rows, weights * len(y) / weights.sum())
    models = {"linear": LINEAR, "neighbours": KNeighborsClassifier()}
    found = coreset.evaluate(X, y, **FAST | {"models": models})
    assert "Train without the weights for" in found.verdict
    assert "log loss (with them +" in found.verdict
    assert found.difference("unweighted", "log_loss").worse
    assert found.score("unweighted").rows == 800
    # a model without weights is not trained twice
    ways = [found.score(way, "neighbours").log_loss for way in ("subset", "unweighted")]
    assert ways[0] == ways[1]
    assert "60 trainings" not in found.notes[-1]
    assert widest(found) <= 100


def test_evaluate__weights_that_are_alike_are_not_left_out(data):
    coreset = distill(*data, fraction=0.05, strategy="random")
    found = coreset.evaluate(*data, **FAST)
    assert found.ways() == ("subset", "random", "stratified", "everything", "majority")
    assert widest(found) <= 80
    # nor where no model takes any
    lossy = cleaned(*data).evaluate(*data, **FAST | {"models": KNeighborsClassifier()})
    assert "unweighted" not in lossy.ways()


# ---------------------------------------------------------------- the most frequent class


def test_majority__is_the_dummy_classifier_on_the_same_tests(data):
    X, y = data
    coreset = cleaned(X, y)
    found = coreset.evaluate(X, y, **FAST).score("majority")
    codes = np.unique(y, return_inverse=True)[1]
    selected, weights = coreset.indices, coreset.weights
    model = DummyClassifier(strategy="prior").fit(X[selected], codes[selected], weights)
    losses, rights = [], []
    for seed in range(5):
        split = split_rows(np.arange(len(y)), codes, selected, seed, 800, 4000, None)
        P = model.predict_proba(X[split.test])
        losses.append(log_loss(codes[split.test], P))
        rights.append(model.score(X[split.test], codes[split.test]))
    assert found.log_loss == pytest.approx(np.mean(losses), abs=1e-6)
    assert found.accuracy == pytest.approx(np.mean(rights))
    assert found.roc_auc == 0.5


# ---------------------------------------------------------------- scorers of the user's


def late_found(estimator, X, y):
    """Of the late, how many are called late; in the user's words."""
    assert set(estimator.classes_) == {"late", "on time"}
    return recall_score(y, estimator.predict(X), pos_label="late")


def test_evaluate__by_the_metric_that_is_asked_for(data):
    coreset = cleaned(*data)
    metrics = {
        "late found": late_found,
        "f1_macro": "f1_macro",
        "f1 of late": make_scorer(f1_score, pos_label="late"),
        "auc": "roc_auc",
    }
    found = coreset.evaluate(*data, metric=metrics, **FAST)
    assert found.objective == "late found"
    assert found.metrics == (*METRICS, *metrics)
    assert "of late found" in found.verdict
    for way in found.ways():
        assert found.score(way).own["late found"] == pytest.approx(
            found.score(way).worst_class_recall if way != "majority" else 0.0
        )
        assert found.score(way).own["auc"] == pytest.approx(found.score(way).roc_auc)
    assert Evaluation.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    by_loss = coreset.evaluate(*data, metric="log_loss", **FAST)
    assert "Random does better here; take it: against" in by_loss.verdict
    assert "of log loss, and its log loss is" in by_loss.verdict


def test_metric__a_callable_is_called_by_its_name():
    assert list(as_metrics(late_found)) == ["late_found"]
    assert as_metrics(None) == {}
    assert list(as_metrics(["brier", "f1_macro"])) == ["brier", "f1_macro"]


def broken(estimator, X, y):
    raise RuntimeError("no idea")


def nowhere(estimator, X, y):
    return float("nan")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("f2", "metric must be one of accuracy, .* got 'f2'"),
        ("", "metric must be one of accuracy, .* got ''"),
        ([], "metric must name at least one metric"),
        (3, "metric must be one of accuracy, .* got 3"),
        ({"log_loss": late_found}, "metric must not call a scorer 'log_loss'"),
        ({"recall:late": late_found}, "metric must call scorers by printable .* got 'recall:late'"),
        ({" ": late_found}, "metric must call scorers by printable names .* got ' '"),
        ({"a\nb": late_found}, "metric must call scorers by printable names .*; choose another"),
        ("f1", "metric f1 must give a number for each model, .* pos_label=1"),
        (broken, "metric broken must give a number .* RuntimeError: no idea"),
    ],
)
def test_metric__is_refused_in_one_sentence(data, metric, sentence):
    coreset = distill(*data, fraction=0.05, strategy="random")
    with pytest.raises(InputError, match=sentence):
        coreset.evaluate(*data, metric=metric, **FAST)


def test_models__that_cannot_learn_from_so_few_rows_are_named(data):
    coreset = distill(*data, size=3, strategy="random")
    with pytest.raises(InputError, match=r"models must learn .* neighbours on 3 rows raised Value"):
        coreset.evaluate(*data, models=standard_models_named(["neighbours"]), seeds=2)


def test_metric__that_cannot_be_told_is_not_judged_by(data):
    coreset = distill(*data, fraction=0.05, strategy="random")
    found = coreset.evaluate(*data, metric=nowhere, **FAST)
    assert found.objective == "accuracy"
    assert found.score("subset").own == {"nowhere": None}
    assert "The verdict is on accuracy: too few draws tell nowhere." in found.notes
    curve = size_curve(
        *data, metric=nowhere, sizes=[200], strategies="stratified", models=LINEAR, seeds=2
    )
    assert curve.objective == "accuracy"
    assert curve.verdict.startswith("too few draws tell nowhere, so by accuracy: stratified keeps")
    assert "log_loss" in curve.metrics
    assert "nowhere" not in curve.metrics
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match="metric nowhere must be a number for some model"):
        search_strategy(*data, metric=nowhere, fraction=0.1, trials=2, max_rows=600, model=LINEAR)


def unless_constant(estimator, X, y):
    """What is not defined where one class alone is answered."""
    predicted = estimator.predict(X)
    return f1_score(y, predicted, pos_label="late") if len(set(predicted)) > 1 else float("nan")


def test_metric__that_the_majority_lacks_is_told_of_the_others():
    X = np.random.default_rng(0).normal(size=(4000, 3))
    y = np.where(X[:, 0] > 0.5, "late", "on time")
    coreset = distill(X, y, fraction=0.1, strategy="random")
    found = coreset.evaluate(X, y, metric=unless_constant, **FAST)
    assert found.objective == "unless_constant"
    assert found.score("subset").own["unless_constant"] > 0.9
    assert found.score("majority").own["unless_constant"] is None
    assert found.found_difference("majority", "unless_constant") is None


def test_metric__that_no_model_can_tell_is_refused_before_work(data, monkeypatch):
    coreset = distill(*data, fraction=0.05, strategy="random")
    monkeypatch.setattr(LinearSVC, "fit", lambda *_: pytest.fail("trained"))
    for metric, needs in (("log_loss", "predict_proba"), ("brier", "predict_proba")):
        with pytest.raises(InputError, match=f"metric {metric} needs a model with {needs}, got"):
            coreset.evaluate(*data, metric=metric, **FAST | {"models": LinearSVC()})


def test_evaluate__models_without_probabilities_are_said_to_be(data):
    coreset = distill(*data, fraction=0.05, strategy="random")
    models = {"linear": LINEAR, "machine": LinearSVC()}
    found = coreset.evaluate(*data, **FAST | {"models": models})
    assert found.score("subset", "machine").log_loss is None
    assert found.score("subset", "machine").roc_auc is not None
    # the mean is over models that have it
    assert found.score("subset").log_loss == found.score("subset", "linear").log_loss
    note = "log loss, Brier score and calibration error are without machine, which gives no"
    assert any(each.startswith(note) for each in found.notes)
    alone = coreset.evaluate(*data, **FAST | {"models": SVC(kernel="linear", max_iter=50)})
    assert "log_loss" not in alone.metrics
    with pytest.raises(InputError, match="difference must be one that was measured"):
        alone.difference("random", "log_loss")
    assert alone.verdict


def test_shown__what_is_not_known_is_a_dash(data):
    coreset = distill(*data, fraction=0.05, strategy="random")
    models = {"linear": LINEAR, "machine": LinearSVC()}
    found = coreset.evaluate(*data, **FAST | {"models": models})
    assert shown_value("log_loss", found.score("random", "machine").log_loss) == "-"


def test_train__weights_of_test_rows_reach_scorers(data):
    X, y = data
    codes = (y == "late").astype(int)
    weights = np.where(codes == 1, 5.0, 1.0)
    measures = measures_of(as_metrics("f1_macro"), ["a", "b"], codes, 1)
    training, test = (
        LabelledRows(X[:500], codes[:500]),
        LabelledRows(X[500:], codes[500:], weights[500:]),
    )
    trial = train_and_test("subset", "m", LINEAR, 0, training, test, 2, measures)
    predicted = LINEAR.fit(X[:500], codes[:500]).predict(X[500:])
    expected = f1_score(codes[500:], predicted, average="macro", sample_weight=weights[500:])
    assert trial.own["f1_macro"] == pytest.approx(expected)


# ---------------------------------------------------------------- what was written before


def test_evaluation__of_an_older_version_is_read(lossy):
    new = {"roc_auc", "average_precision", "log_loss", "brier", "calibration_error"}
    new |= {"own", "intervals"}
    plain = lossy.as_dict()
    for name in ("objective", "rarest_class"):
        del plain[name]
    plain["scores"] = [
        {key: value for key, value in score.items() if key not in new}
        for score in plain["scores"]
        if score["way"] not in ("majority", "unweighted")
    ]
    plain["differences"] = [
        each
        for each in plain["differences"]
        if each["metric"] in ("accuracy", "balanced_accuracy", "worst_class_recall")
        and each["against"] not in ("majority", "unweighted")
    ]
    old = Evaluation.from_dict(json.loads(json.dumps(plain)))
    assert old.metrics == ("accuracy", "balanced_accuracy", "worst_class_recall")
    assert old.objective == "accuracy"
    assert "worst class recall" in str(old)
    assert "log loss" not in str(old).replace(old.verdict, "").replace(old.notes[0], "")


# ---------------------------------------------------------------- curve and search


@pytest.fixture(scope="module")
def curve(data):
    few = {"sizes": [200, 400], "strategies": ("stratified",), "models": LINEAR, "seeds": 3}
    return size_curve(*data, metric=["log_loss", "f1_macro"], **few)


def test_curve__by_the_metric_that_is_asked_for(curve):
    assert curve.objective == "log_loss"
    assert curve.verdict.startswith("stratified has a log loss, where everything has 0.")
    head, first, second, *_ = str(curve).splitlines()
    assert "log loss" in head
    assert (first.split()[0], second.split()[0]) == ("everything", "majority")
    assert widest(curve) <= 100
    assert SizeCurve.from_dict(json.loads(json.dumps(curve.as_dict()))) == curve
    for point in curve.points:
        low, high = point.intervals["f1_macro"]
        assert low <= point.own["f1_macro"] <= high
    (majority,) = curve.line("majority")
    assert majority.roc_auc == 0.5
    for point, random in zip(curve.line("stratified"), curve.line("random"), strict=True):
        assert point.gains["log_loss"][0] == pytest.approx(point.log_loss - random.log_loss)


def test_curve__what_is_lost_comes_first(curve):
    lost = tuple(
        replace(p, gains=p.gains | {"roc_auc": (-0.1, -0.101, -0.099)})
        if (p.strategy, p.rows) == ("stratified", 400)
        else p
        for p in curve.points
    )
    text = verdict_on_curve(lost, ["stratified"], objective="accuracy", seeds=3)
    assert text.startswith(
        "stratified is worse than random rows in ROC AUC at 400 rows (−10.0 points ["
    )
    assert "stratified keeps" in text


def test_curve__of_an_older_version_is_read(curve):
    kept = ("strategy", "rows", "share", "model", "accuracy", "accuracy_low", "accuracy_high")
    kept += ("balanced_accuracy", "worst_class_recall", "kept", "gain", "gain_low", "gain_high")
    kept += ("balanced_gain", "balanced_gain_low", "balanced_gain_high")
    kept += ("training_seconds", "selection_seconds")
    plain = curve.as_dict()
    del plain["objective"], plain["rarest_class"]
    plain["points"] = [
        {key: point[key] for key in kept}
        for point in plain["points"]
        if point["strategy"] != "majority"
    ]
    old = SizeCurve.from_dict(json.loads(json.dumps(plain)))
    assert old.objective == "accuracy"
    assert "±" in str(old)
    assert len(old.table()) == len(curve.table()) - 1


def test_search__by_the_metric_that_is_asked_for(data):
    pytest.importorskip("optuna")
    X, y = data
    how = {"fraction": 0.05, "trials": 8, "model": "logistic-regression", "max_rows": 2000}
    found = search_strategy(X, y, metric="log_loss", **how)
    assert found.metric == "log_loss"
    best = found.best()
    assert all(trial.score < 0 for trial in best)
    assert best[0].score == max(trial.score for trial in best)
    assert found.baseline < 0
    text = str(found)
    assert f"{-best[0].score:.3f}" in text
    assert "the most frequent class" in text
    assert f"{-found.baseline:.3f}" in text
    if found.gains:
        assert found.gains["log_loss"][0] == pytest.approx(-found.gain)
        assert set(found.gains) == set(METRICS)
    own = search_strategy(X, y, metric=late_found, **how | {"trials": 2})
    assert isinstance(own, StrategySearch)
    assert own.metric == "late_found"


@pytest.fixture
def command(data, tmp_path, monkeypatch):
    """Run commands on this process's threads, with one quick model."""
    from contextlib import nullcontext

    monkeypatch.chdir(tmp_path)
    np.savez("in.npz", X=data[0][:3000], y=data[1][:3000])
    distill(data[0][:3000], data[1][:3000], fraction=0.1, strategy="random").to_zarr("out.zarr")
    monkeypatch.setattr("dask_distill.clusters.connect.connect", lambda **places: nullcontext())
    quick = {"logistic regression": LINEAR, "neighbours": KNeighborsClassifier()}
    monkeypatch.setattr("dask_distill.evaluation.training.standard_models", lambda: quick)
    return lambda *arguments: CliRunner().invoke(cli, arguments)


METRIC = ["--metric", "log_loss", "--metric", "f1_macro", "--model", "logistic-regression"]


def test_command__evaluate_takes_metrics_and_models(command):
    few = ["--source", "in.npz", "--seeds", "2", "--max-rows", "1000"]
    done = command("evaluate", "out.zarr", *few, *METRIC, "--json")
    assert done.exit_code == 0, done.output
    found = Evaluation.from_dict(json.loads(done.stdout))
    assert found.objective == "log_loss"
    assert {score.model for score in found.scores} == {ALL_MODELS, "logistic regression"}
    assert found.score("subset").own["f1_macro"] > 0.4


def test_command__curve_and_search_take_metrics_and_models(command):
    pytest.importorskip("optuna")
    few = ["--sizes", "100", "--seeds", "2", "--strategy", "random"]
    done = command("curve", "in.npz", *few, *METRIC, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["objective"] == "log_loss"
    few = ["--fraction", "0.1", "--option", "trials=2", "--option", "max_rows=600"]
    done = command("search", "in.npz", *few, *METRIC, "-o", "front.svg")
    assert done.exit_code == 0, done.output
    assert "log loss" in done.stdout
    assert done.stdout.endswith("wrote front.svg\n")
    done = command("search", "in.npz", *few, *METRIC, "--json")
    assert json.loads(done.stdout)["metric"] == "log_loss"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search", "in.npz", "--metric", "f2", "--fraction", "0.1"], "metric must be one of"),
        (["search", "in.npz", "--model", "x", "--fraction", "0.1"], "model must be one of"),
        (["search", "in.npz", "--fraction", "0.1", "-o", "f.pdf"], "output must end in .svg"),
        (["curve", "in.npz", "--metric", "f2"], "metric must be one of accuracy"),
        (["evaluate", "out.zarr", "--source", "in.npz", "--metric", "f2"], "metric must be one"),
        (["evaluate", "out.zarr", "--source", "in.npz", "--model", "x"], "model must be one of"),
    ],
)
def test_command__bad_input_is_one_sentence(command, arguments, sentence):
    done = command(*arguments)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
