"""Metrics against scikit-learn, torchmetrics and a slow bootstrap written here."""

import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix, jaccard_score

from sightline.errors import ConfigError, DataError
from sightline.learning import metrics

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

VOID = 255
NAN = float("nan")
RELAXED = settings(deadline=None)  # the first call of torch or scikit-learn in a process is slow


@st.composite
def pairs(draw, shape=None):
    """(target, prediction, classes): void pixels, absent classes and empty masks come up."""
    classes = draw(st.integers(2, 7))
    shape = shape or draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6))
    some = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes))
    target = draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([*some, VOID])))
    prediction = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, classes - 1)))
    return target, prediction, classes


def matrix_lists(min_size=0):
    return st.integers(1, 4).flatmap(
        lambda c: hnp.arrays(np.int64, st.tuples(st.integers(min_size, 5), st.just(c), st.just(c)), elements=COUNTS)
    )


COUNTS = st.one_of(st.just(0), st.integers(0, 50))


# Counting


@RELAXED
@given(pairs())
def test_confusion_is_scikit_learns_of_the_pixels_not_void(pair):
    target, prediction, classes = pair
    before = target.copy(), prediction.copy()
    matrix = metrics.confusion(target, prediction, classes, VOID)
    assert matrix.dtype == np.int64
    assert matrix.shape == (classes, classes)
    assert matrix.sum() == (target != VOID).sum()
    kept = target != VOID
    if kept.any():
        oracle = confusion_matrix(target[kept], prediction[kept], labels=range(classes))
        assert np.array_equal(matrix, oracle)
    assert (target == before[0]).all()
    assert (prediction == before[1]).all()


@RELAXED
@given(pairs())
def test_tensors_give_the_same_counts_and_so_does_torchmetrics(pair):
    target, prediction, classes = pair
    truth, guess = torch.from_numpy(target).long(), torch.from_numpy(prediction).long()
    matrix = metrics.confusion_of_tensors(truth, guess, classes, VOID)
    assert matrix.dtype == np.int64
    assert np.array_equal(matrix, metrics.confusion(target, prediction, classes, VOID))
    assert np.array_equal(matrix, metrics.confusion_of_tensors(truth.byte(), guess.byte(), classes, VOID))
    if target.size:
        oracle = MulticlassConfusionMatrix(classes, ignore_index=VOID)(guess, truth)
        assert np.array_equal(matrix, oracle.numpy())


@RELAXED
@given(pairs(shape=(6, 3)), st.lists(st.integers(0, 6), max_size=4))
def test_counts_add_up_over_any_batching(pair, cuts):
    target, prediction, classes = pair
    whole = metrics.confusion(target, prediction, classes, VOID)
    edges = [0, *sorted(cuts), 6]
    batches = [(target[a:b], prediction[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(whole, sum(metrics.confusion(t, p, classes, VOID) for t, p in batches))
    tensors = [(torch.from_numpy(t), torch.from_numpy(p)) for t, p in batches]
    assert np.array_equal(whole, sum(metrics.confusion_of_tensors(t, p, classes, VOID) for t, p in tensors))


def test_rows_are_targets_and_columns_predictions():
    target, prediction = np.array([[0, 1], [1, 255]], np.uint8), np.array([[0, 0], [2, 2]], np.uint8)
    assert metrics.confusion(target, prediction, 3, VOID).tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]


def test_all_256_values_may_be_classes():
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(np.diag(metrics.confusion(values, values, 256, 255)), np.append(np.ones(255), 0))


def test_negative_void_and_subclasses_as_fastai_has_them():
    class TensorMask(torch.Tensor):
        pass

    class TensorImage(torch.Tensor):
        pass

    target = torch.tensor([0, 1, -100]).as_subclass(TensorMask)
    prediction = torch.tensor([0, 0, 1]).as_subclass(TensorImage)
    assert metrics.confusion_of_tensors(target, prediction, 2, -100).tolist() == [[1, 0], [1, 0]]


def all_ways(target, prediction, classes=3, ignore=VOID):
    """The functions as callables on the same values; that of tensors for int64 and for uint8."""
    arrays = np.array(target, np.uint8), np.array(prediction, np.uint8)
    tensors = torch.tensor(target), torch.tensor(prediction)
    yield lambda: metrics.confusion(*arrays, classes, ignore)
    yield lambda: metrics.confusion_of_tensors(*tensors, classes, ignore)
    yield lambda: metrics.confusion_of_tensors(*(one.byte() for one in tensors), classes, ignore)


@pytest.mark.parametrize(
    ("target", "prediction", "text"),
    [
        ([0, 7, 7], [0, 0, 0], "2 pixels of the target hold 7; the classes are 0 to 2 and ignore_index is 255"),
        ([0, 3, 254], [0, 0, 0], "2 pixels of the target hold 3, 254; the classes"),
        ([0, 1, 2], [0, 3, 0], "1 pixels of the prediction hold 3; the classes are 0 to 2."),
        ([0, 1, 255], [0, 0, 255], "1 pixels of the prediction hold 255; the classes are 0 to 2."),
        ([0, 1], [0, 0, 0], r"shapes differ: the target is \(2,\), the prediction \(3,\)"),
        ([[0, 1]], [0, 1], "shapes differ"),
    ],
)
def test_what_is_no_class_is_refused_with_its_value(target, prediction, text):
    for call in all_ways(target, prediction):
        with pytest.raises(DataError, match=text):
            call()


def test_many_wrong_values_are_cut_short():
    for call in all_ways(list(range(20)), [0] * 20):
        with pytest.raises(DataError, match="17 pixels of the target hold 3, 4, 5, 6, 7, 8, 9, 10 and 9 more"):
            call()


def test_a_negative_class_in_a_tensor_is_refused():
    with pytest.raises(DataError, match="1 pixels of the target hold -1"):
        metrics.confusion_of_tensors(torch.tensor([-1, 0]), torch.tensor([0, 0]), 2, VOID)
    with pytest.raises(DataError, match="1 pixels of the prediction hold -4"):
        metrics.confusion_of_tensors(torch.tensor([0, 0]), torch.tensor([0, -4]), 2, VOID)


def test_logits_and_other_types_are_refused():
    with pytest.raises(DataError, match="argmax"):
        metrics.confusion_of_tensors(torch.tensor([0]), torch.tensor([0.3]), 2, VOID)
    with pytest.raises(DataError, match="prediction int64"):
        metrics.confusion(np.zeros(2, np.uint8), np.zeros(2, np.int64), 2, VOID)
    for classes, ignore in ((3, -1), (3, 256), (0, 255), (257, 255)):
        with pytest.raises(DataError, match="8-bit"):
            metrics.confusion(np.zeros(2, np.uint8), np.zeros(2, np.uint8), classes, ignore)


# From counts to metrics


@RELAXED
@given(pairs())
def test_iou_is_scikit_learns_jaccard_and_nan_for_absent_classes(pair):
    target, prediction, classes = pair
    found = metrics.iou(metrics.confusion(target, prediction, classes, VOID))
    kept = target != VOID
    present = set(target[kept].tolist()) | set(prediction[kept].tolist())
    assert [index for index in range(classes) if not np.isnan(found[index])] == sorted(present)
    if present:
        oracle = jaccard_score(target[kept], prediction[kept], labels=range(classes), average=None, zero_division=0)
        assert np.allclose(found[sorted(present)], oracle[sorted(present)], rtol=1e-12)


@RELAXED
@given(pairs())
def test_miou_and_accuracy_against_scikit_learn(pair):
    target, prediction, classes = pair
    matrix = metrics.confusion(target, prediction, classes, VOID)
    kept = target != VOID
    if not kept.any():
        assert np.isnan(metrics.miou(matrix))
        assert np.isnan(metrics.pixel_accuracy(matrix))
        return
    present = sorted(set(target[kept].tolist()) | set(prediction[kept].tolist()))
    oracle = jaccard_score(target[kept], prediction[kept], labels=present, average="macro")
    assert metrics.miou(matrix) == pytest.approx(oracle, rel=1e-12)
    assert metrics.pixel_accuracy(matrix) == pytest.approx((target == prediction)[kept].mean(), rel=1e-12)


@RELAXED
@given(pairs())
def test_where_torchmetrics_agrees_and_where_it_does_not(pair):
    """Its macro mean leaves absent classes out as ours does; alone, an absent class is 0 there and NaN here.

    Where every pixel is void its macro mean is NaN too. It computes in float32.
    """
    target, prediction, classes = pair
    matrix = metrics.confusion(target, prediction, classes, VOID)
    truth, guess = torch.from_numpy(target).long(), torch.from_numpy(prediction).long()
    each = MulticlassJaccardIndex(classes, average=None, ignore_index=VOID)(guess, truth).numpy()
    assert np.allclose(np.nan_to_num(metrics.iou(matrix), nan=0), each, atol=1e-6)
    macro = MulticlassJaccardIndex(classes, average="macro", ignore_index=VOID)(guess, truth)
    assert metrics.miou(matrix) == pytest.approx(float(macro), abs=1e-6, nan_ok=True)


def test_a_class_only_predicted_counts_as_zero_and_one_nowhere_as_none():
    matrix = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert metrics.iou(matrix).tolist()[:2] == [0.75, 0]
    assert np.isnan(metrics.iou(matrix)[2])
    assert metrics.miou(matrix) == 0.375


def test_a_matrix_of_nothing_has_no_metric():
    nothing = np.zeros((3, 3), np.int64)
    assert np.isnan(metrics.iou(nothing)).all()
    assert np.isnan([metrics.miou(nothing), metrics.pixel_accuracy(nothing)]).all()
    assert np.isnan(metrics.mean_image_iou(nothing[None]))
    assert np.isnan(metrics.mean_image_iou(np.zeros((0, 3, 3), np.int64)))


@RELAXED
@given(matrix_lists())
def test_iou_of_many_is_iou_of_each(matrices):
    found = metrics.iou(matrices)
    assert found.shape == matrices.shape[:2]
    assert np.array_equal(found, np.array([metrics.iou(m) for m in matrices]).reshape(found.shape), equal_nan=True)


@RELAXED
@given(matrix_lists())
def test_mean_image_iou_is_the_mean_of_the_images_own(matrices):
    own = [metrics.miou(matrix) for matrix in matrices]
    own = [value for value in own if not np.isnan(value)]
    expected = sum(own) / len(own) if own else NAN
    assert metrics.mean_image_iou(matrices) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_the_two_means_differ():
    matrices = np.array([[[100, 0], [0, 0]], [[0, 5], [0, 5]]])
    assert metrics.mean_image_iou(matrices) == (1 + 0.25) / 2
    assert metrics.miou(matrices.sum(axis=0)) == (100 / 105 + 0.5) / 2


def test_large_counts_stay_exact():
    matrix = np.array([[2**40, 1], [0, 2**40]])
    assert metrics.pixel_accuracy(matrix) == 2**41 / (2**41 + 1)


@pytest.mark.parametrize("wrong", [np.zeros((2, 3), int), np.zeros(4, int), np.zeros((2, 2)), np.zeros((1, 2, 2), int)])
def test_what_is_no_matrix_is_refused(wrong):
    with pytest.raises(DataError, match="Confusion matrices are integers"):
        metrics.miou(wrong)


# The majority baseline


@RELAXED
@given(pairs(), st.data())
def test_majority_confusion_is_that_of_the_constant_prediction(pair, data):
    target, _, classes = pair
    index = data.draw(st.integers(0, classes - 1))
    constant = np.full_like(target, index)
    counts = np.bincount(target.ravel(), minlength=256)[:classes]
    expected = metrics.confusion(target, constant, classes, VOID)
    assert np.array_equal(metrics.majority_confusion(counts, index), expected)


def test_majority_is_the_first_of_the_largest():
    assert metrics.majority([1, 5, 5]) == 1
    assert metrics.majority([0.1, NAN, 0.3]) == 2
    for nothing in ([0, 0], [NAN], []):
        with pytest.raises(DataError, match="no majority class"):
            metrics.majority(nothing)
    for index in (-1, 2):
        with pytest.raises(DataError, match=f"majority class is {index}"):
            metrics.majority_confusion([1, 2], index)


# The interval


def drives(groups, frames, seed, classes=3, noise=0.25, pixels=400):
    """Matrices of frames [N, C, C] and their groups: drives differ in accuracy, frames of one drive hardly do."""
    draw = np.random.default_rng(seed)
    skill = np.clip(draw.normal(0.7, noise, (groups, classes)), 0.02, 0.98)
    shares = draw.dirichlet(np.full(classes, 4.0), groups)
    matrices = np.zeros((groups, frames, classes, classes), np.int64)
    for g in range(groups):
        wrong = (1 - skill[g])[:, None] / (classes - 1) * (1 - np.eye(classes))
        cells = shares[g][:, None] * (np.diag(skill[g]) + wrong)
        matrices[g] = draw.multinomial(pixels, cells.ravel(), size=frames).reshape(frames, classes, classes)
    names = [f"drive{g:03}" for g in range(groups) for _ in range(frames)]
    return matrices.reshape(-1, classes, classes), names


def slow_interval(matrices, groups, resamples, seed, level):
    """The same bootstrap, group by group and class by class; same draws, no numpy beyond them."""
    names = sorted(set(groups))
    sums = [sum(m for m, group in zip(matrices, groups, strict=True) if group == name) for name in names]
    sums = [total for total in sums if total.sum()]
    draw, means, each = np.random.default_rng(seed), [], []
    for _ in range(resamples):
        total = sum(sums[index] for index in draw.integers(len(sums), size=len(sums)))
        values = []
        for c in range(len(total)):
            union = int(total[c].sum() + total[:, c].sum() - total[c, c])
            values.append(int(total[c, c]) / union if union else None)
        known = [value for value in values if value is not None]
        means.append(sum(known) / len(known))
        each.append(values)
    columns = [[row[c] for row in each if row[c] is not None] for c in range(len(each[0]))]
    ends = [100 * (1 - level) / 2, 100 * (1 + level) / 2]
    bounds = [tuple(np.percentile(col, ends)) if len(col) >= 0.95 * resamples else None for col in columns]
    return tuple(np.percentile(means, ends)), bounds


def test_interval_is_the_slow_one(monkeypatch):
    matrices, groups = drives(12, 4, seed=3)
    shuffled = np.random.default_rng(0).permutation(len(groups))
    matrices[[g != "drive004" for g in groups], :, 2] = 0  # class 2: in one drive alone, so undefined in many resamples
    matrices[[g != "drive004" for g in groups], 2, :] = 0
    matrices[[g == "drive007" for g in groups]] = 0  # all void: no draw
    mean, each = slow_interval(matrices, groups, 300, 11, 0.9)
    monkeypatch.setattr(metrics, "CHUNK", 7 * 11)
    found = metrics.interval(matrices[shuffled], [groups[i] for i in shuffled], 300, 11, level=0.9)
    assert found.miou == pytest.approx(mean, rel=1e-12)
    assert each[2] is None
    assert found.iou[2] is None
    assert found.iou[:2] == (pytest.approx(each[0], rel=1e-12), pytest.approx(each[1], rel=1e-12))
    assert (found.reason, found.level, found.resamples, found.groups) == ("", 0.9, 300, 11)


def test_same_seed_same_interval_whatever_the_chunks(monkeypatch):
    matrices, groups = drives(15, 3, seed=1)
    first = metrics.interval(matrices, groups, 200, 5)
    assert metrics.interval(matrices, groups, 200, 6) != first
    for chunk in (1, 100, 15 * 200):
        monkeypatch.setattr(metrics, "CHUNK", chunk)
        assert metrics.interval(matrices, groups, 200, 5) == first


def test_a_class_absent_from_few_resamples_gets_an_interval_and_from_none_or_all_too():
    matrices, groups = drives(20, 1, seed=2, classes=4)
    matrices[:, 3, :] = matrices[:, :, 3] = 0
    matrices[4:, 1, :] = matrices[4:, :, 1] = (
        0  # class 1: in 4 of 20 drives, missing from (16/20)^20 = 1.2 % of resamples
    )
    found = metrics.interval(matrices, groups, 1000, 0)
    assert found.iou[3] is None
    assert found.iou[1] is not None
    assert found.iou[0][0] < found.iou[0][1]


def test_the_interval_holds_the_estimate_and_narrows_with_groups():
    widths = []
    for count in (10, 40, 160):
        matrices, groups = drives(count, 2, seed=4)
        low, high = metrics.interval(matrices, groups, 500, 0).miou
        assert low < metrics.miou(matrices.sum(axis=0)) < high
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]


def test_coverage_of_drives_against_that_of_images_taken_as_independent():
    """Of 95 % intervals on 30 drives about nine in ten hold the truth; taking frames for draws, about half do."""
    true = metrics.miou(drives(20000, 1, seed=99)[0].sum(axis=0))
    held = {"groups": 0, "frames": 0}
    for seed in range(120):
        matrices, groups = drives(30, 8, seed)
        frames = [str(index) for index in range(len(groups))]
        for kind, units in (("groups", groups), ("frames", frames)):
            low, high = metrics.interval(matrices, units, 200, seed).miou
            held[kind] += low <= true <= high
    assert held["groups"] >= 0.85 * 120
    assert held["frames"] <= 0.7 * 120


def test_fewer_than_ten_groups_have_no_interval_and_a_reason():
    matrices, groups = drives(9, 5, seed=0)
    found = metrics.interval(matrices, groups, 100, 0)
    assert found.miou is None
    assert found.iou == (None, None, None)
    assert found.reason.startswith("9 groups with labelled pixels")
    assert metrics.interval(*drives(10, 1, seed=0), 100, 0).reason == ""


def test_groups_without_a_pixel_do_not_count():
    matrices, groups = drives(12, 1, seed=0)
    matrices[1:4] = 0
    assert metrics.interval(matrices, groups, 100, 0).groups == 9
    found = metrics.interval(matrices[:1], groups[:1], 100, 0)
    assert found.reason.startswith("1 group with labelled pixels")
    assert metrics.interval(matrices[:0], [], 100, 0).reason.startswith("0 groups")


def test_interval_as_summary_json_has_it():
    matrices, groups = drives(12, 2, seed=0)
    matrices[:, 2, :] = matrices[:, :, 2] = 0
    found = metrics.interval(matrices, groups, 100, 0)
    stored = found.to_dict(["road", "car", "bus"])
    assert stored == {
        "miou": list(found.miou),
        "iou": {"road": list(found.iou[0]), "car": list(found.iou[1]), "bus": None},
        "level": 0.95,
        "resamples": 100,
        "unit": "group",
        "reason": "",
    }


def test_what_interval_cannot_use_is_refused():
    matrices, groups = drives(12, 1, seed=0)
    with pytest.raises(DataError, match="12 confusion matrices but 11 groups"):
        metrics.interval(matrices, groups[1:], 100, 0)
    with pytest.raises(DataError, match=r"\[N, C, C\]"):
        metrics.interval(matrices[0], groups, 100, 0)
    for resamples, level in ((0, 0.95), (100, 0), (100, 95)):
        with pytest.raises(ConfigError, match="resamples and a level"):
            metrics.interval(matrices, groups, resamples, 0, level)


def test_the_module_needs_no_torch():
    code = "import sys, sightline.learning.metrics; print({'torch', 'pandas', 'sklearn'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
