"""MRC simple as documentation: what is read out of which answer, and what it scores."""

from __future__ import annotations

import json

import numpy as np
import pytest

from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sns_bench import mrc_simple
from redone.tasks.sns_bench.mrc_simple import TASK, official_passages, read_passages

NOTE = (
    "Weekend at Lake Orrin 🛶\n"
    "The ferry runs every 40 minutes until 6 pm. Bring cash, the kiosk takes no cards.\n"
    "[doge] Dogs ride for free\n"
    "It doesn't say on the map where to park.\n"
    "#lakeday"
)
FERRY = "The ferry runs every 40 minutes until 6 pm."
CASH = "Bring cash, the kiosk takes no cards."
DOGS = "[doge] Dogs ride for free"


def sample(target: list[str], language: str = "en", content: str = NOTE) -> Sample:
    return Sample(
        id="0" * 16,
        task=TASK.name,
        fields={"content": content, "query": "until when does the ferry run"},
        target=target,
        language=language,
        cluster="0" * 16,
        split="test",
        partition="gate",
        tags={},
    )


def judge(scoring: str, target: list[str], text: str, finish: str = "stop", language: str = "en"):
    answer = Completion(text, finish)  # type: ignore[arg-type]
    return TASK.scorings[scoring].score(sample(target, language), [answer], Services())


READ = [
    # a list, as asked for
    (f'["{FERRY}"]', (FERRY,), None),
    (f'["{FERRY}", "{CASH}"]', (FERRY, CASH), None),
    (f"['{FERRY}', '{CASH}']", (FERRY, CASH), None),
    (f'  ["{FERRY}"]\n', (FERRY,), None),
    (f'["{DOGS}"]', (DOGS,), None),
    ('["line one\\nline two"]', ("line one\nline two",), None),
    ('["line one\nline two"]', ("line one\nline two",), None),
    (f'["{FERRY}"]\n["{CASH}"]', (FERRY, CASH), None),
    (f'[["{FERRY}", "{CASH}"]]', (FERRY, CASH), None),
    (f'["{FERRY}", ""]', (FERRY,), None),
    # something around the list
    (f'Answer: ["{FERRY}"]', (FERRY,), None),
    (f'Sure! Here is the list: ["{FERRY}"] Hope it helps 😊', (FERRY,), None),
    (f'```json\n["{FERRY}"]\n```', (FERRY,), None),
    (f'**["{FERRY}"]**', (FERRY,), None),
    (f'["{FERRY}"]\nI left out ["{CASH}"] because it is about the kiosk.', (FERRY,), None),
    (f'Not ["{CASH}"] but ["{FERRY}"]', (FERRY,), None),
    (f'答案：["{FERRY}"]', (FERRY,), None),
    (f'["{FERRY}"]<|im_end|>\n["{CASH}"]', (FERRY,), None),
    (f'["{FERRY}"]\n\nQuestion: where to park\nAnswer: ["{CASH}"]', (FERRY,), None),
    # broken lists
    (f'["{FERRY}", "Bring cash, the ki', (FERRY, "Bring cash, the ki"), None),
    ('["she said "wow" and left", "next"]', ('she said "wow" and left', "next"), None),
    ("['It doesn't say', 'next']", ("It doesn't say", "next"), None),
    ("[“左边”，“右边”]", ("左边", "右边"), None),
    # no list
    (f"- {FERRY}\n- {CASH}", (f"{FERRY}\n{CASH}",), None),
    (f"1. {FERRY}", (FERRY,), None),
    (f"> {FERRY}", (FERRY,), None),
    (f"Sure! Here are the relevant sentences:\n- {FERRY}", (FERRY,), None),
    (f'The post says: "{FERRY}"', (FERRY,), None),
    (FERRY, (FERRY,), None),
    (f'"{FERRY}"', (FERRY,), None),
    (f"Answer: {FERRY}", (FERRY,), None),
    (
        "It doesn't say on the map where to park.",
        ("It doesn't say on the map where to park.",),
        None,
    ),
    # nothing, said in so many words
    ("The answer is [] since the note doesn't say.", (), None),
    ("answer: none", (), None),
    ('["No answer"]', (), None),
    ("There isn't an answer to this.", (), None),
    ("The answer is not in the post.", (), None),
    ("Not mentioned.", (), None),
    ("无法从笔记中得到答案。", (), None),
    ("[]", (), None),
    ("The answer is []", (), None),
    ("```json\n[]\n```", (), None),
    ("[]\nThe post says nothing about it.", (), None),
    ('[""]', (), None),
    ("No answer", (), None),
    ("None", (), None),
    ("无", (), None),
    ("No relevant information found in the post.", (), None),
    ("The post does not mention when the ferry runs.", (), None),
    ("笔记中没有提到渡船的时间。", (), None),
    # failures
    ("", None, "empty"),
    (" \n\t", None, "empty"),
    ("Sorry, I can't help with that.", None, "refusal"),
    ("抱歉，我无法回答这个问题。", None, "refusal"),
    ("…!!", None, "format"),
    ("x" * 1_000_000, None, "format"),
    ("[" * 100_000, None, "format"),
]


@pytest.mark.parametrize(("text", "parsed", "failure"), READ)
def test_what_is_read(text: str, parsed: tuple[str, ...] | None, failure: str | None) -> None:
    reading = read_passages(Completion(text), NOTE)
    assert reading == (parsed, failure)
    score = judge("corrected", [FERRY], text)
    if parsed == (FERRY,):
        assert (score.value, score.failure) == (1.0, None)
    elif not parsed:
        assert score.value == 0.0
        assert score.failure == (failure or "wrong")
    else:
        assert 0.2 <= score.value < 1.0
        assert score.failure == "wrong"
    # Where the post has no answer, exactly the explicit "nothing" is right.
    assert judge("corrected", [], text).value == float(parsed == ())


def test_an_answer_that_the_limit_cut_is_read_as_far_as_it_goes() -> None:
    assert judge("corrected", [FERRY], f'["{FERRY[:-5]}', "length").value > 0.5
    assert judge("corrected", [FERRY], "", "length").failure == "truncated"


def test_both_sides_are_joined_alike() -> None:
    score = judge("corrected", ["one two", "three four"], '["one two", "three four"]')
    assert score.value == 1.0
    # One piece instead of two with the same words is the same answer.
    assert judge("corrected", ["one two", "three four"], '["one two\\nthree four"]').value == 1.0


@pytest.mark.parametrize(
    "gold", [["🛶🛶"], ["好"], ["."], ["a b"], ["一 二"], ["40\n\n50"], [" 左 "]]
)
def test_short_and_odd_golds_score_full(gold: list[str]) -> None:
    text = json.dumps(gold, ensure_ascii=False)
    assert judge("corrected", gold, text).value == pytest.approx(1.0)


def test_case_and_emoji() -> None:
    assert judge("corrected", ["go 🛶 by boat"], '["go by boat"]').value == 1.0
    assert judge("corrected", ["Go by boat today"], '["GO BY BOAT TODAY"]').value < 0.5


# --- one case for each quirk of the official rule ------------------------------------------------


def test_official_takes_the_first_bracket_to_the_first_closing_one() -> None:
    assert official_passages(f'["{FERRY}"] or ["{CASH}"]') == FERRY
    with pytest.raises(ValueError, match="literal"):
        official_passages(f'["{DOGS}"]')  # the emoticon's bracket ends the list


def test_official_joins_gold_with_nothing_and_the_answer_with_line_breaks() -> None:
    glued = judge("official", ["one two", "three four"], '["one two", "three four"]')
    assert glued.value == 1.0  # line breaks are deleted before comparing: "two" + "three"
    assert judge("official", ["one two", "three four"], '["one two", " three four"]').value < 1.0


def test_official_reads_a_bare_string_as_a_list_of_its_letters() -> None:
    assert official_passages("'abc'") == "a\nb\nc"


def test_official_never_executes() -> None:
    for text in ("__import__('os').getcwd()", "[open('/etc/hostname').read()]", "['a'] * 10**9"):
        try:
            official_passages(text)
        except ValueError:
            continue
        assert text.endswith("10**9")  # only the bracket was read


def test_official_leaves_errors_out_and_multiplies_them_back_in() -> None:
    scoring = TASK.scorings["official"]
    texts = [f'["{FERRY}"]', "no list"]
    sums = np.sum([judge("official", [FERRY], t).stats for t in texts], axis=0)
    points = {metric.name: metric.point(sums) for metric in scoring.metrics}
    assert points["readable"] == 50.0
    assert points["bleu"] == pytest.approx(50.0)
    assert points["f1"] == pytest.approx(50.0, abs=0.02)  # 0.0001 in each denominator


def test_official_counts_answers_to_unanswerable_questions() -> None:
    assert judge("official", [], f'["{FERRY}"]').stats[:5] == (0, 1, 0, 0, 0)
    assert judge("official", [FERRY], "[]").stats[:5] == (0, 0, 1, 0, 0)
    assert judge("official", [], "[]").stats[:5] == (0, 0, 0, 1, 0)
    assert judge("official", [], "").stats[:5] == (0, 0, 0, 0, 1)


def test_official_short_texts_have_no_bleu() -> None:
    score = judge("official", ["一"], '["一"]')
    assert score.stats[5] == pytest.approx(0.0, abs=1e-70)
    assert score.stats[7] == 0.0  # and no bigrams
    assert judge("corrected", ["一"], '["一"]').value == 1.0


def test_official_deletes_emoji_before_comparing() -> None:
    assert judge("official", ["☺️go by boat now"], '["go by boat now"]').value == 1.0


# --- corrected figures ---------------------------------------------------------------------------


def figures(pairs: list[tuple[list[str], str]]) -> dict[str, float]:
    scoring = TASK.scorings["corrected"]
    sums = np.sum([judge("corrected", gold, text).stats for gold, text in pairs], axis=0)
    return {metric.name: metric.point(sums) for metric in scoring.metrics}


def test_answering_only_the_surest_question_does_not_pay() -> None:
    points = figures([([FERRY], f'["{FERRY}"]')] + [([CASH], "[]")] * 9)
    assert points["bleu"] == pytest.approx(10.0)
    assert points["f1"] == pytest.approx(200 * 1 / 11)


def test_a_failure_is_a_missed_or_an_invented_answer() -> None:
    assert judge("corrected", [FERRY], "").stats[:4] == (0, 0, 1, 0)
    assert judge("corrected", [], "").stats[:4] == (0, 1, 0, 0)


def test_only_rightly_empty_answers_are_a_full_score() -> None:
    assert figures([([], "[]")] * 3)["f1_bleu_rouge"] == 100.0


def test_figures_take_any_leading_axes() -> None:
    for scoring in TASK.scorings.values():
        rng = np.random.default_rng(0)
        sums = rng.integers(1, 9, (3, 5, len(scoring.statistics))).astype(float)
        for metric in scoring.metrics:
            whole = metric.from_sums(sums)
            assert whole.shape == (3, 5)
            assert whole[1, 2] == pytest.approx(float(metric.from_sums(sums[1, 2])))


@pytest.mark.shared_data
def test_parity_with_the_authors(data_dir) -> None:
    samples = list(rows(data_dir))
    parity = json.loads((data_dir.parent / "parity" / "sns_bench.json").read_text("utf-8"))
    part = parity["Note-MRC-simple"]
    scoring = TASK.scorings["official"]
    pairs = zip(part["index"], part["prediction"], strict=True)
    scores = [scoring.score(samples[i], [Completion(t)], Services()) for i, t in pairs]
    sums = np.sum([s.stats for s in scores], axis=0)
    ours = {metric.name: metric.point(sums) for metric in scoring.metrics}
    told = part["reference"]
    assert ours["f1_bleu_rouge"] == pytest.approx(told["reported"], abs=0.01)
    names = {
        "f1": "f1",
        "bleu": "blue",
        "rouge_1": "rouge-1",
        "rouge_2": "rouge-2",
        "rouge_l": "rouge-L",
    }
    for name, theirs in names.items():
        assert ours[name] == pytest.approx(told[f"success-{theirs}"], abs=0.01)
        unscaled = ours[name] / ours["readable"] * 100
        key = "total-f1" if name == "f1" else theirs
        assert unscaled == pytest.approx(told[key], abs=0.01)
    shares = 100 * sums[:4] / len(scores)
    assert list(shares) == [told[f"total-{n}"] for n in ("tp", "fp", "fn", "tn")]
    assert ours["readable"] == told["success-ratio"]


@pytest.mark.shared_data
def test_gold_sheet(data_dir) -> None:
    samples = list(rows(data_dir))
    for name, expected in (("official", 94.25), ("corrected", 100.0)):
        scoring = TASK.scorings[name]
        scores = [scoring.score(s, [Completion(TASK.gold(s))], Services()) for s in samples]
        point = scoring.metrics[0].point(np.sum([s.stats for s in scores], axis=0))
        assert point == pytest.approx(expected, abs=0.005)
    assert {score.value for score in scores} == {1.0}


def rows(data_dir):
    from redone.tasks.sources import samples

    return samples(TASK, data_dir)


def test_a_bad_row_names_the_field() -> None:
    with pytest.raises(ValueError, match="answer"):
        mrc_simple.row({"content": "c", "query": "q", "answer": ["ok", " "]})
