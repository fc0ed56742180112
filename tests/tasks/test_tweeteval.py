"""TweetEval as documentation: the published metrics, the files, and how labels are read."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from redone.tasks.check import ENDLESS, hostile_texts
from redone.tasks.errors import BadRow, MissingData
from redone.tasks.metrics import classification as figures
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.tweeteval import EMOTION, IRONY, SENTIMENT, STANCE, LinesReader

# --- metrics against brute force -----------------------------------------------------------------

TWEETEVAL = find("tweeteval")


def brute(gold: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]):
    """F1 and recall by label, over labels that occur, as scikit-learn's report has them."""
    f1, recall = {}, {}
    for label in labels:
        hits = sum(g == p == label for g, p in zip(gold, predicted, strict=True))
        wanted, given = gold.count(label), predicted.count(label)
        if wanted + given:
            precision = hits / given if given else 0.0
            recall[label] = hits / wanted if wanted else 0.0
            total = precision + recall[label]
            f1[label] = 2 * precision * recall[label] / total if total else 0.0
    return f1, recall


def test_figures_by_brute_force() -> None:
    rng = random.Random(0)
    names = ("a", "b", "c")
    for _ in range(300):
        size = rng.randint(1, 12)
        gold = rng.choices(names, k=size)
        predicted: list[str | None] = rng.choices([*names, None], k=size)
        sums = np.sum(
            [figures.counts(names, p, g) for p, g in zip(predicted, gold, strict=True)], axis=0
        )
        f1, recall = brute(gold, predicted, names)
        assert float(figures.macro_f1(sums)) == pytest.approx(100 * np.mean(list(f1.values())))
        assert float(figures.macro_recall(sums)) == pytest.approx(
            100 * np.mean(list(recall.values()))
        )
        right = sum(g == p for g, p in zip(gold, predicted, strict=True))
        assert float(figures.label_accuracy(sums)) == pytest.approx(100 * right / size)
        for chosen in (["a"], ["b", "c"]):
            value = float(figures.f1_of(names, chosen)(sums))
            if all(label in f1 for label in chosen):
                assert value == pytest.approx(100 * np.mean([f1[label] for label in chosen]))
            else:
                assert np.isnan(value)


def sums_of(pairs) -> np.ndarray:
    return np.sum([figures.counts("abc", said, gold) for said, gold in pairs], axis=0)


def test_informedness_is_what_depends_on_the_item() -> None:
    gold = "aaaaaabbbc"
    assert float(figures.informedness(sums_of(zip(gold, gold, strict=True)))) == 100
    for said in ("a", "c", None):
        assert float(figures.informedness(sums_of((said, g) for g in gold))) == 0
    # Labels said alike of all items, however often each.
    independent = sums_of((said, g) for g in gold for said in ("a", "a", "b", None))
    assert float(figures.informedness(independent)) == pytest.approx(0)
    # Youden's J of each label: 1 - 1/4, 1 - 0, 0 - 0.
    half = sums_of(zip("aaaaaabbba", gold, strict=True))
    assert float(figures.informedness(half)) == pytest.approx(100 * (0.75 + 1 + 0) / 3)
    assert np.isnan(figures.informedness(np.zeros(9)))


def test_informedness_of_two_labels_is_youdens_j() -> None:
    sums = np.sum(
        [figures.counts("yn", said, gold) for said, gold in ("yy", "yy", "ny", "nn", "yn")], axis=0
    )
    assert float(figures.informedness(sums)) == pytest.approx(100 * (2 / 3 + 1 / 2 - 1))


def test_figures_take_any_leading_axes() -> None:
    sums = np.random.default_rng(0).integers(1, 9, (2, 5, 9)).astype(float)
    for figure in (
        figures.macro_f1,
        figures.macro_recall,
        figures.informedness,
        figures.f1_of("abc", "ac"),
    ):
        assert figure(sums).shape == (2, 5)
        assert figure(sums)[1, 4] == pytest.approx(float(figure(sums[1, 4])))


def test_each_task_has_its_published_metric() -> None:
    assert {t.category: t.scorings["official"].metrics[0].name for t in TWEETEVAL} == {
        "irony": "f1_irony",
        "sentiment": "macro_recall",
        "hate": "macro_f1",
        "offensive": "macro_f1",
        "emotion": "macro_f1",
        "stance": "f1_favor_against",
    }


# --- how labels are read -------------------------------------------------------------------------


def sample(task, target: str) -> Sample:
    return Sample(
        id="0" * 16,
        task=task.name,
        fields={"text": "another monday, how lovely", "target": "mondays"},
        target=target,
        language="en",
        cluster="0" * 16,
        split="val",
        partition="gate",
        tags={},
    )


def judge(task, scoring: str, text: str, target: str, finish: str = "stop"):
    answer = Completion(text, finish)  # type: ignore[arg-type]
    return task.scorings[scoring].score(sample(task, target), [answer], Services())


YES, NO = "irony", "non_irony"
IRONIC = [
    ("Yes", YES),
    ("yes", YES),
    ("YES.", YES),
    ("Yes!", YES),
    ("**Yes**", YES),
    ('"Yes"', YES),
    ("```\nYes\n```", YES),
    ("Answer: Yes", YES),
    ("The answer is yes.", YES),
    ("Yes, because nobody loves mondays.", YES),
    ("Yes. The writer does not mean it.", YES),
    ("Yes\nThere is no doubt about it.", YES),
    ("Ironic", YES),
    ("Yes, it is ironic.", YES),
    ("Yep", YES),
    ("No", NO),
    ("no", NO),
    ("No.", NO),
    ("Ｎｏ", NO),
    ("Answer: No", NO),
    ("The answer is No.", NO),
    ("No, the writer means what it says.", NO),
    ("No\nBecause the note says so.", NO),
    ("Not ironic", NO),
    ("not ironic.", NO),
    ("non-ironic", NO),
    ("False", NO),
    ("Final answer: No", NO),
    ("Yes or No", None),
    ("Yes, No", None),
    ("", None),
    ("Hmm", None),
    ("There is no way to know", None),
    ("I'm sorry, but I cannot answer that.", None),
    ("Nobody loves mondays", None),
    ("y" * 100_000, None),
]


@pytest.mark.parametrize(("text", "label"), IRONIC)
def test_yes_and_no(text: str, label: str | None) -> None:
    for target in (YES, NO):
        score = judge(IRONY, "corrected", text, target)
        assert score.parsed == label
        assert score.value == float(label == target)
        if label:
            assert score.failure == (None if label == target else "wrong")
        else:
            assert score.failure in ("empty", "refusal", "format")


NAMED = [
    ("joy", "joy"),
    ("Joy", "joy"),
    ("JOY!", "joy"),
    ("joy.", "joy"),
    ("*joy*", "joy"),
    ("“joy”", "joy"),
    ("`joy`", "joy"),
    ("1. joy", "joy"),
    ("Emotion: joy", "joy"),
    ("The emotion is joy.", "joy"),
    ("The main emotion is: joy", "joy"),
    ("Answer: Joy", "joy"),
    ("I think the answer is joy", "joy"),
    ("joy, because the tweet says lovely", "joy"),
    ("joy - the tweet says lovely", "joy"),
    ("joy\nThe tweet shows no sadness.", "joy"),
    ("not sadness but joy", "joy"),
    ("joy, not anger", "joy"),
    ("joyful", "joy"),
    ("happy", "joy"),
    ("angry", "anger"),
    ("sad", "sadness"),
    ("Sadness.", "sadness"),
    ("optimistic", "optimism"),
    ("Sure! The emotion is optimism.", "optimism"),
    ("What this tweet mainly expresses is a feeling of joy.", "joy"),
    ("The writer of this tweet is full of anger and says so.", "anger"),
    ("Emotion: anger\n\nTweet: next one\nEmotion: joy", None),
    ("anger, joy, optimism, sadness", None),
    ("anger or joy", None),
    ("joy and optimism", None),
    ("fear", None),
    ("neutral", None),
    ("", None),
    ("😂", None),
    ("As an AI language model, I have no emotions.", None),
    ("joyride", None),
]


@pytest.mark.parametrize(("text", "label"), NAMED)
def test_named_labels(text: str, label: str | None) -> None:
    score = judge(EMOTION, "corrected", text, "joy")
    assert score.parsed == label
    assert score.value == float(label == "joy")
    assert (score.failure is None) == (label == "joy")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Favor", "favor"),
        ("in favour", "favor"),
        ("Stance: Against", "against"),
        ("The writer is opposed", "against"),
        ("The writer is against the new rules.", "against"),
        ("None", "none"),
        ("Neither", "none"),
        ("neither in favor nor against", "none"),
        ("Favor, Against or None", None),
    ],
)
def test_stances(text: str, label: str | None) -> None:
    assert judge(STANCE, "corrected", text, "favor").parsed == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The tweet is neutral.", "neutral"),
        ("The sentiment of this post is positive", "positive"),
        ("The writer sounds negative.", "negative"),
        ("The tweet has a positive tone.", "positive"),
        ("This is a negative tweet because it is not positive.", "negative"),
        ("The tweet is neutral.\n\nThe writer only informs about it.", "neutral"),
        ("It could be positive or negative. The tweet is positive.", "positive"),
        ("The tweet is positive. It is not negative.", "positive"),
        ("The sentiment is not positive but negative.", "negative"),
        ("The tweet is neither positive nor negative, it is neutral.", "neutral"),
        # denied, left open, asked, or several
        ("The tweet is not negative.", None),
        ("This tweet isn't positive.", None),
        ("The tweet can't be called positive", None),
        ("It lacks anything positive.", None),
        ("The tweet is anything but positive", None),
        ("Far from positive", None),
        ("It is unclear whether the tweet is positive", None),
        ("I don't think it is positive.", None),
        ("Is its sentiment negative?", None),
        ("The tweet is positive, neutral, or negative.", None),
        ("The tweet has both positive and negative parts", None),
        ("I'm sorry, I can't say that it is positive.", None),
    ],
)
def test_a_sentence_that_names_one_label(text: str, label: str | None) -> None:
    assert judge(SENTIMENT, "corrected", text, "positive").parsed == label


@pytest.mark.parametrize(
    ("task", "text", "label"),
    [
        (EMOTION, "This tweet expresses joy.", "joy"),
        (EMOTION, "This makes me angry.", "anger"),
        (EMOTION, "There is no joy in this tweet.", None),
        (EMOTION, "Joy is absent.", None),
        (EMOTION, "The tweet is not expressing anger", None),
        (IRONY, "This tweet is ironic.", YES),
        (IRONY, "This tweet isn't ironic.", NO),
        (IRONY, "The tweet does not contain irony", NO),
        (STANCE, "This tweet is against the movement.", "against"),
        (STANCE, "The tweet is not in favor of it.", None),
    ],
)
def test_sentences_of_other_tasks(task, text: str, label: str | None) -> None:
    assert judge(task, "corrected", text, "x").parsed == label


def test_official_wants_the_label_and_nothing_else() -> None:
    for text, label in [
        ("Yes", YES),
        (" yes\n", YES),
        ("irony", YES),
        ("NO", NO),
        ("non_irony", NO),
    ]:
        assert judge(IRONY, "official", text, YES).parsed == label
    for text in ("Yes.", "Answer: Yes", "", "ironic"):
        score = judge(IRONY, "official", text, YES)
        assert score.parsed is None
        assert score.stats == (0, 0, 0, 0, 0, 1)  # costs recall, predicts nothing


def test_an_answer_cut_before_the_label() -> None:
    assert judge(EMOTION, "corrected", "Let me think about", "joy", "length").failure == "truncated"


def test_hostile_outputs() -> None:
    start = time.perf_counter()
    for task, target in ((IRONY, YES), (EMOTION, "joy"), (STANCE, "favor")):
        item = sample(task, target)
        for text in (*ENDLESS, *hostile_texts(10_000, random.Random(task.name), [target, "No"])):
            for scoring in task.scorings.values():
                score = scoring.score(item, [Completion(text)], Services())
                assert score.value in (0.0, 1.0)
                assert len(score.stats) == len(scoring.statistics)
    assert time.perf_counter() - start < 120


# --- the files -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "tweeteval" / "mood"
    for place in (base / "rain", base / "sun"):
        place.mkdir(parents=True)
        for split in ("val", "test"):
            (place / f"{split}_text.txt").write_text(f"{place.name}\u2028one\n\ntwo\n", "utf-8")
            (place / f"{split}_labels.txt").write_text("0\n1\n1\n")
    (base / "mapping.txt").write_text("0\tlow\n1\thigh")
    return tmp_path


READER = LinesReader(
    "tweeteval/mood", ("low", "high"), ("val", "test"), {"rain": "rainy days", "sun": "sunny days"}
)


def test_rows_in_order(folder: Path) -> None:
    rows = list(READER(folder))
    assert [row.split for row in rows] == ["val"] * 6 + ["test"] * 6
    assert rows[0].fields == {"text": "rain\u2028one", "target": "rainy days"}
    assert rows[0].tags == {"label": "low", "target": "rain"}
    assert [row.target for row in rows[:3]] == ["low", "high", "high"]
    assert rows[1].fields["text"] == ""  # an empty line is a tweet
    assert rows[3].tags == {"label": "low", "target": "sun"}


def test_bad_files_are_named(folder: Path) -> None:
    place = folder / "tweeteval" / "mood" / "sun"
    (place / "val_labels.txt").write_text("0\n1\n")
    with pytest.raises(BadRow, match=r"val_text.txt has 3 lines and val_labels.txt 2: row 3"):
        list(READER(folder))
    (place / "val_labels.txt").write_text("0\n7\n1\n")
    with pytest.raises(
        BadRow, match=r"val_labels.txt, row 2: the label '7'.*0 \(low\), 1 \(high\)"
    ):
        list(READER(folder))
    (place / "val_labels.txt").write_text("0\n1\n1\n")
    (place / "test_text.txt").write_bytes(b"fine\n\xff\nfine\n")
    with pytest.raises(BadRow, match="test_text.txt, row 2: not UTF-8"):
        list(READER(folder))
    (place / "test_text.txt").unlink()
    with pytest.raises(MissingData, match="test_text.txt.*fetch tweeteval"):
        next(iter(READER(folder)))
    (place.parent / "mapping.txt").write_text("0\thigh\n1\tlow")
    with pytest.raises(BadRow, match="mapping.txt"):
        next(iter(READER(folder)))


def test_sentiment_is_held_out() -> None:
    assert SENTIMENT.held_out
    assert "train" not in SENTIMENT.splits
    assert all(t.splits["train"] == "train" for t in TWEETEVAL if t.name != SENTIMENT.name)


@pytest.mark.shared_data
def test_gold_sheet_and_sizes(data_dir) -> None:
    from redone.tasks.sources import samples

    sizes = {}
    for task in TWEETEVAL:
        items = list(samples(task, data_dir))
        sizes[task.category] = len(items)
        for scoring in task.scorings.values():
            scores = [scoring.score(s, [Completion(task.gold(s))], Services()) for s in items]
            sums = np.sum([s.stats for s in scores], axis=0)
            assert scoring.metrics[0].point(sums) == pytest.approx(100.0)
            assert {s.value for s in scores} == {1.0}
    assert sizes == {  # val and test
        "irony": 955 + 784,
        "sentiment": 2000 + 12284,
        "hate": 1000 + 2970,
        "offensive": 1324 + 860,
        "emotion": 374 + 1421,
        "stance": 294 + 1249,
    }
