"""Ten planted faults are found, each by its check; in honest studies nothing is found."""

from dataclasses import replace

import numpy as np
import pytest

from fer3d.errors import FormatError
from fer3d.evaluate.audit.findings import CANNOT_TELL, CHECKS, FOUND, NOT_FOUND
from fer3d.evaluate.audit.intervals import by_subject as interval_by_subject
from fer3d.evaluate.audit.predictions import read_tested
from fer3d.evaluate.audit.run import audit
from fer3d.prepare.store import PreparedScan, open_scan, read_manifest, write_scan
from tests.evaluate.audit_cases import (
    CLASSES,
    batch_normalised,
    by_subject,
    study,
    write_folds,
    write_log,
    write_predictions,
    write_table,
)
from tests.prepared import write_prepared


def told(result):
    """Check -> verdict."""
    return {finding.check: finding.verdict for finding in result.findings}


def detail(result, check):
    return next(finding for finding in result.findings if finding.check == check)


def fully(folder, made, *, chosen="validation", columns=("val_acc", "test_acc"), reported=None, interval=None, **more):
    """The audit of a study of which everything is known; folds are those of the table unless `folds` is given."""
    number, ends = by_subject(made)
    return audit(
        write_predictions(folder / "predictions.csv", made),
        log=write_log(folder / "log.csv", made, chosen, columns=columns),
        reported=reported or number,
        interval=interval or ends,
        **more,
    )


def with_sequences(made):
    names = [f"p{s}_{CLASSES[t]}" for s, t in zip(made.subject, made.truth, strict=True)]
    return replace(made, extra={**made.extra, "sequence": names})


def with_hashes(made):
    rng = np.random.default_rng(0)
    return replace(made, extra={**made.extra, "sha256": [rng.bytes(16).hex() for _ in made.truth]})


def shared_people(folder, seed=1):
    made = study(seed)
    moved = np.isin(made.subject, (3, 17)) & (made.scan == 1)
    return fully(folder, replace(made, fold=np.where(moved, (made.fold + 1) % 5, made.fold)))


def duplicated_scans(folder, seed=2):
    made = with_hashes(study(seed))
    rows = np.flatnonzero(made.fold == 0)[:3]
    copies = made.take(rows)
    copies = replace(copies, subject=copies.subject + 500, fold=copies.fold + 1)
    joined = {name: np.concatenate([getattr(made, name), getattr(copies, name)]) for name in vars(made) if name in (
        "subject", "truth", "scan", "fold", "logits")}  # fmt: skip
    both = replace(made, **joined, extra={"sha256": made.extra["sha256"] + copies.extra["sha256"]})
    return fully(folder, both)


def folds_of_frames(folder, seed=3):
    made = with_sequences(study(seed, scans=5, people=15))
    return fully(folder, replace(made, fold=np.random.default_rng(0).integers(5, size=len(made.truth))))


def best_on_the_test(folder, seed=4):
    return fully(folder, study(seed), chosen="test")


def batches_of_a_class(folder, seed=5):
    return fully(folder, batch_normalised(seed, training_mode=True))


def swapped_labels(folder, seed=6):
    made = study(seed, skill=3.0)
    order = np.arange(len(CLASSES))
    order[[1, 2, 4]] = order[[2, 4, 1]]
    return fully(folder, replace(made, logits=made.logits[:, order]))


def missing_class(folder, seed=7):
    made = study(seed)
    return fully(folder, made.take(np.flatnonzero(made.truth != 2)))


def mean_of_unequal_folds(folder, seed=8):
    made = study(seed, unequal=True, people=40)
    mean = np.mean([made.correct[made.fold == fold].mean() for fold in range(5)])
    assert abs(mean - made.correct.mean()) > 0.002, "another seed: here both averages are the same number"
    return fully(folder, made, reported=f"{100 * mean:.1f}")


def invented_number(folder, seed=9):
    made = study(seed)
    return fully(folder, made, reported=f"{100 * made.correct.mean() + 6:.1f}")


def interval_of_scans(folder, seed=10):
    made = study(seed, scans=4, person=1.5)
    share = made.correct.mean()
    half = 1.96 * np.sqrt(share * (1 - share) / len(made.truth))
    return fully(folder, made, interval=f"{100 * (share - half):.1f},{100 * (share + half):.1f}")


PLANTED = {
    "subjects": (shared_people, {"subjects"}),
    "duplicates": (duplicated_scans, {"duplicates"}),
    "sequences": (folds_of_frames, {"sequences", "subjects"}),  # whoever divides sequences divides people
    "epoch": (best_on_the_test, {"epoch"}),
    "batches": (batches_of_a_class, {"batches"}),
    "label-order": (swapped_labels, {"label-order"}),
    "classes": (missing_class, {"classes"}),
    "average": (mean_of_unequal_folds, {"average"}),
    "number": (invented_number, {"number"}),
    "interval": (interval_of_scans, {"interval"}),
}


def test_there_is_a_planted_fault_for_each_check():
    assert list(PLANTED) == list(CHECKS)


@pytest.mark.parametrize("check", PLANTED)
def test_a_planted_fault_is_found_and_no_other(check, tmp_path):
    plant, expected = PLANTED[check]
    result = plant(tmp_path)
    assert {finding.check for finding in result.found} == expected
    assert all(finding.detail for finding in result.found)


# Honest studies: of people in folds, sorted in any way, weak and strong networks, few and many people and classes.
HONEST = {
    "plain": lambda: study(20),
    "sorted by class": lambda: study(21, order="class", scans=4),
    "sorted by class, many": lambda: study(22, order="class", people=60, scans=4, folds=3),
    "in random order": lambda: study(23, order="random"),
    "unequal folds": lambda: study(24, unequal=True, people=50),
    "one person a fold": lambda: study(25, people=12, folds=12, scans=3),
    "people differ much": lambda: study(26, person=2.0, scans=4),
    "people are alike": lambda: study(27, person=0.0),
    "at chance": lambda: study(28, skill=0.0),
    "at chance, sorted by class": lambda: study(29, skill=0.0, order="class", scans=4, people=60),
    "weak": lambda: study(30, skill=0.5, order="class"),
    "strong": lambda: study(31, skill=5.0),
    "two classes": lambda: study(32, classes=("neutral", "pain")),
    "two classes, weak": lambda: study(33, classes=("neutral", "pain"), skill=0.3, order="class", scans=5),
    "few people": lambda: study(34, people=6, folds=3),
    "many people": lambda: study(35, people=100, folds=10, scans=1),
    "frames of sequences": lambda: with_sequences(study(36, scans=6, people=20)),
    "hashes": lambda: with_hashes(study(37)),
    "batch normalisation": lambda: batch_normalised(38, training_mode=False),
    "batch normalisation, five folds": lambda: batch_normalised(39, training_mode=False, folds=5, batch=16),
}


@pytest.mark.parametrize("name", HONEST)
def test_nothing_is_found_in_an_honest_study(name, tmp_path):
    made = HONEST[name]()
    chosen = "last" if len(name) % 2 else "validation"
    files = {"folds": write_folds(tmp_path / "folds.json", made)} if len(name) % 3 else {}
    result = fully(tmp_path, made, chosen=chosen, **files)
    assert result.found == ()
    assert len(result.open) <= 1, [finding for finding in result.findings if finding.verdict == CANNOT_TELL]


def test_twenty_honest_studies():
    assert len(HONEST) == 20


def test_a_table_of_truth_and_predictions_only_leaves_most_open(tmp_path):
    made = study(40)
    path = write_predictions(tmp_path / "a.csv", made, without=("id", "subject", "fold"))
    result = audit(path)
    assert result.found == ()
    assert {check for check, verdict in told(result).items() if verdict == NOT_FOUND} == {
        "batches",
        "label-order",
        "classes",
    }
    assert all(finding.needs for finding in result.open)


def test_the_accuracy_without_a_fault_is_given(tmp_path):
    made = study(41, people=40)
    leaked = made.subject < 10
    logits = made.logits.copy()
    logits[leaked, made.truth[leaked]] += 5
    made = replace(made, logits=logits, fold=np.where(leaked & (made.scan == 1), (made.fold + 1) % 5, made.fold))
    result = audit(write_predictions(tmp_path / "a.csv", made))
    finding = detail(result, "subjects")
    assert finding.verdict == FOUND
    assert finding.corrected == pytest.approx(made.correct[~leaked].mean())
    assert "10 of 40 people are in training" in finding.detail
    assert finding.examples[0] == "p000"


def test_swapped_labels_are_named_with_what_they_stand_for(tmp_path):
    finding = detail(swapped_labels(tmp_path), "label-order")
    assert set(finding.examples) == {"disgust stands for fear", "fear stands for sadness", "sadness stands for disgust"}
    assert finding.corrected == pytest.approx(study(6, skill=3.0).correct.mean())


def test_labels_swapped_in_one_fold_are_found_there(tmp_path):
    made = study(43, people=40, skill=3.0)
    logits = made.logits.copy()
    logits[made.fold == 3] = logits[made.fold == 3][:, [1, 0, 2, 3, 4, 5]]
    finding = detail(audit(write_predictions(tmp_path / "a.csv", replace(made, logits=logits))), "label-order")
    assert finding.verdict == FOUND
    assert "in fold 3" in finding.detail


def test_columns_of_probabilities_in_another_order_than_the_labels_are_found(tmp_path):
    made = study(43)
    path = write_predictions(tmp_path / "a.csv", made)
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert "p_anger,p_disgust" in header
    path.write_text("\n".join([header.replace("p_anger,p_disgust", "p_disgust,p_anger"), *lines]), encoding="utf-8")
    finding = detail(audit(path), "label-order")
    assert finding.verdict == FOUND
    assert "the column of anger is of disgust" in finding.examples


def test_draws_that_test_people_again_are_no_leak(tmp_path):
    made = study(44, people=10)
    draws = [
        np.flatnonzero(np.isin(made.subject, people)) for people in ((0, 1, 2, 3, 4), (3, 4, 5, 6, 7), (0, 2, 4, 6, 8))
    ]
    rows = np.concatenate(draws)
    again = replace(made.take(rows), fold=np.repeat(np.arange(3), [len(own) for own in draws]))
    result = audit(write_predictions(tmp_path / "a.csv", again))
    assert told(result)["subjects"] == CANNOT_TELL
    without = audit(write_predictions(tmp_path / "b.csv", again, without=("id",)))
    assert told(without)["subjects"] == CANNOT_TELL


def test_people_in_validation_and_test_are_found(tmp_path):
    made = study(45, people=10, folds=2).take(np.arange(60))
    path = write_predictions(tmp_path / "a.csv", made, without=("fold",))
    own = sorted({f"p{s:03d}" for s in made.subject})
    write_table(
        tmp_path / "parts.csv",
        {"person": ["x1", "x2", own[0], *own], "split": ["train", "train", "val", *["test"] * len(own)]},
    )
    finding = detail(audit(path, folds=tmp_path / "parts.csv"), "subjects")
    assert finding.verdict == FOUND
    assert "in validation and in the test" in finding.detail
    assert finding.examples == (own[0],)


def test_scans_that_are_tested_twice_are_found(tmp_path):
    made = study(46)
    again = made.take(np.r_[np.arange(len(made.truth)), 0, 0, 5])
    finding = detail(audit(write_predictions(tmp_path / "a.csv", again)), "duplicates")
    assert finding.verdict == FOUND
    assert "2 scans are tested more than once" in finding.detail
    assert finding.corrected == pytest.approx(made.correct.mean())


def test_a_table_of_all_rounds_without_their_column_is_no_duplicate(tmp_path):
    made = study(47)
    twice = made.take(np.tile(np.arange(len(made.truth)), 2))
    assert told(audit(write_predictions(tmp_path / "a.csv", twice)))["duplicates"] == CANNOT_TELL
    rounds = replace(twice, extra={"repeat": np.repeat([0, 1], len(made.truth)).tolist()})
    assert told(audit(write_predictions(tmp_path / "b.csv", rounds)))["duplicates"] == NOT_FOUND


def test_a_column_id_of_people_is_no_name_of_scans(tmp_path):
    path = write_predictions(tmp_path / "a.csv", study(47, people=10), without=("id",), names={"subject": "id"})
    finding = detail(audit(path), "duplicates")
    assert finding.verdict == CANNOT_TELL
    assert "subject=NAME if it names people" in finding.needs
    assert told(audit(path, columns=["subject=id"]))["subjects"] == NOT_FOUND


def test_copies_in_a_prepared_folder_are_found_by_their_maps(tmp_path):
    write_prepared(tmp_path / "prepared", ("F0001", "M0001"), ("anger", "fear"), intensities=(3,))
    ids = ["F0001_anger_3", "F0001_fear_3", "M0001_anger_3", "M0001_fear_3"]
    labels = {"truth": ["anger", "fear"] * 2, "predicted": ["anger", "fear"] * 2, "fold": [0, 0, 1, 1]}
    write_table(tmp_path / "a.csv", {"id": ids, **labels})
    assert told(audit(tmp_path / "a.csv", data=tmp_path / "prepared"))["duplicates"] == NOT_FOUND
    first = read_manifest(tmp_path / "prepared")[0]
    with open_scan(tmp_path / "prepared", first) as file:
        arrays, header = {name: file.get_tensor(name) for name in file.keys()}, file.header  # noqa: SIM118
    rows = read_manifest(tmp_path / "prepared")
    copied = next(row for row in rows if row["id"] == "M0001_anger_3")
    write_scan(tmp_path / "prepared" / copied["file"], PreparedScan(arrays, {**header, "row": copied}))
    finding = detail(audit(tmp_path / "a.csv", data=tmp_path / "prepared"), "duplicates")
    assert finding.verdict == FOUND
    assert set(finding.examples) == {"F0001_anger_3", "M0001_anger_3"}


def test_copies_under_another_name_are_found_by_their_content(tmp_path):
    made = study(48, people=4, folds=2, scans=1).take(np.arange(12))
    made = replace(made, fold=np.arange(12) % 2, subject=np.arange(12))
    path = write_predictions(tmp_path / "a.csv", made)
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, name in enumerate(made.ids):
        (folder / name).write_bytes(f"scan {number % 11}".encode())
    finding = detail(audit(path, data=folder), "duplicates")
    assert finding.verdict == FOUND
    assert "by the content of the files" in finding.detail
    assert set(finding.examples) == {made.ids[0], made.ids[11]}


def test_a_validation_set_that_is_the_test_set_is_found(tmp_path):
    made = study(49)
    path = write_predictions(tmp_path / "a.csv", made)
    log = write_log(tmp_path / "log.csv", made, "test")
    text = log.read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in text]
    place, other = rows[0].index("val_acc"), rows[0].index("test_acc")
    for row in rows[1:]:
        row[place] = row[other]
    log.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    finding = detail(audit(path, log=log), "epoch")
    assert finding.verdict == FOUND
    assert "validation curve is its test curve" in finding.detail
    log.write_text(
        "\n".join(",".join(row[:other]) for row in rows), encoding="utf-8"
    )  # the same, called validation only
    finding = detail(audit(path, log=log), "epoch")
    assert finding.verdict == FOUND
    assert "in each of 5 trainings" in finding.detail


@pytest.mark.parametrize(("folds", "verdict"), [(2, CANNOT_TELL), (5, FOUND)])
def test_without_a_validation_curve_the_best_epoch_of_few_folds_may_be_luck(folds, verdict, tmp_path):
    made = study(58, folds=folds)
    path = write_predictions(tmp_path / "a.csv", made)
    log = write_log(tmp_path / "log.csv", made, "test", columns=("test_acc",))
    assert told(audit(path, log=log))["epoch"] == verdict


def test_a_log_of_another_run_tells_nothing(tmp_path):
    made, other = study(50), study(51, skill=4.0)
    path = write_predictions(tmp_path / "a.csv", made)
    log = write_log(tmp_path / "log.csv", other, "last", columns=("test_acc",))
    assert told(audit(path, log=log))["epoch"] == CANNOT_TELL


def test_batches_of_real_size_are_named(tmp_path):
    made = batch_normalised(52, training_mode=True, batch=20, people=60)
    finding = detail(audit(write_predictions(tmp_path / "a.csv", made)), "batches")
    assert finding.verdict == FOUND
    assert "of 20 scans" in finding.detail
    shuffled = made.take(np.random.default_rng(0).permutation(len(made.truth)))
    assert told(audit(write_predictions(tmp_path / "b.csv", shuffled)))["batches"] == NOT_FOUND


def test_a_trend_along_the_people_is_no_batch(tmp_path):
    """The first people are easier than the last: answers drift along each class, but do not jump."""
    made = study(53, people=60, scans=4, folds=1, order="class", person=0.0)
    logits = made.logits.copy()
    logits[np.arange(len(made.truth)), made.truth] += 2 - made.subject / 15
    made = replace(made, logits=logits)
    assert told(audit(write_predictions(tmp_path / "a.csv", made)))["batches"] == NOT_FOUND


def test_a_number_is_named_for_what_it_is(tmp_path):
    made = study(54, unequal=True, people=40)
    path = write_predictions(tmp_path / "a.csv", made)
    best = max(made.correct[made.fold == fold].mean() for fold in range(5))
    finding = detail(audit(path, reported=f"{best:.4f}"), "average")
    assert finding.verdict == FOUND
    assert "the accuracy of the best fold" in finding.detail
    recalls = [made.correct[made.truth == k].mean() for k in range(6)]
    finding = detail(audit(path, reported=f"{100 * np.mean(recalls):.2f} %"), "number")
    assert finding.verdict == NOT_FOUND


def test_an_epoch_chosen_on_the_test_is_not_excused_by_a_plateau_of_the_training(tmp_path):
    """The training accuracy is 1 from early on, so its best epochs are many; only the first and the last are a rule."""
    made = study(55)
    path, log = write_predictions(tmp_path / "a.csv", made), write_log(tmp_path / "log.csv", made, "test")
    header, *lines = log.read_text(encoding="utf-8").splitlines()
    plateau = [f"{line},{1 if int(line.split(',')[1]) > 5 else 0.5}" for line in lines]
    log.write_text("\n".join([f"{header},train_acc", *plateau]), encoding="utf-8")
    assert told(audit(path, log=log))["epoch"] == FOUND


def test_the_epoch_that_the_log_marks_is_taken(tmp_path):
    made = study(56)
    path, log = write_predictions(tmp_path / "a.csv", made), write_log(tmp_path / "log.csv", made, "test")
    header, *lines = log.read_text(encoding="utf-8").splitlines()
    for marked, words in (("40", "those of the last epoch"), ("20", "those of one epoch, the same in all trainings")):
        rows = [f"{line},{'yes' if line.split(',')[1] == marked else 'no'}" for line in lines]
        log.write_text("\n".join([f"{header},selected", *rows]), encoding="utf-8")
        finding = detail(audit(path, log=log), "epoch")
        assert finding.verdict == NOT_FOUND
        assert words in finding.detail


def test_the_interval_of_thousands_of_people_is_that_of_the_bootstrap(tmp_path):
    made = study(57, people=2400, scans=1, folds=2, classes=("a", "b"), person=1.5)
    tested = read_tested(write_predictions(tmp_path / "a.csv", made), {})
    large = interval_by_subject(tested)
    assert large.low < large.value < large.high
    number, ends = by_subject(made)
    assert f"{100 * large.value:.1f}" == number
    np.testing.assert_allclose([100 * large.low, 100 * large.high], [float(end) for end in ends.split(",")], atol=0.15)


def test_files_outside_the_folder_are_not_read(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    write_table(
        tmp_path / "a.csv",
        {"path": ["../secret", str(tmp_path / "secret")], "label": ["a", "b"], "pred": ["a", "b"], "fold": [0, 1]},
    )
    with pytest.raises(FormatError, match="should hold the scans of the predictions"):
        audit(tmp_path / "a.csv", data=tmp_path / "scans")
