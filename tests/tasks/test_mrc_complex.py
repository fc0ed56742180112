"""MRC complex as documentation: what is read out of which answer, and what it scores."""

from __future__ import annotations

import json
import time
from random import Random

import numpy as np
import pytest

from redone.tasks.check import ENDLESS, hostile_texts
from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sns_bench import mrc_complex, mrc_simple
from redone.tasks.sns_bench.mrc_complex import TASK, official_options, read_options

CONTENT = (
    "Query: \ncafes\nLevel:\ncafe name\n\nDoc:\n<Doc>\nCafe Linde is cosy. Moss Bar too.\n</Doc>"
)
LINDE = {"Option": "Cafe Linde", "Reason": "Cafe Linde is cosy."}
MOSS = {"Option": "Moss Bar", "Reason": "Moss Bar too."}
WORD = '{"Option": "Cafe Linde", "Reason": "Cafe Linde is cosy."}'
MORE = '{"Option": "Moss Bar", "Reason": "Moss Bar too."}'


def sample(target: list[dict[str, str]], language: str = "en") -> Sample:
    return Sample(
        id="0" * 16,
        task=TASK.name,
        fields={"content": CONTENT, "query": "cafes"},
        target=target,
        language=language,
        cluster="0" * 16,
        split="test",
        partition="gate",
        tags={},
    )


def judge(scoring: str, target: list[dict[str, str]], text: str):
    return TASK.scorings[scoring].score(sample(target), [Completion(text)], Services())


def options(*names: str) -> list[dict[str, str]]:
    return [{"Option": name, "Reason": name} for name in names]


def result(*names: str) -> str:
    return f"<Result>{json.dumps(options(*names), ensure_ascii=False)}</Result>"


READ = [
    # as asked for
    (f"<Result>[{WORD}]</Result>", ["Cafe Linde"], None),
    (f"<Result>[{WORD}, {MORE}]</Result>", ["Cafe Linde", "Moss Bar"], None),
    (f"<Result>\n[\n  {WORD}\n]\n</Result>", ["Cafe Linde"], None),
    (f"<Result>```json\n[{WORD}]\n```</Result>", ["Cafe Linde"], None),
    (f"```\n<Result>[{WORD}]</Result>\n```", ["Cafe Linde"], None),
    (f"Sure! Here is the list: <Result>[{WORD}]</Result> Hope it helps 😊", ["Cafe Linde"], None),
    (f'<AnswerList>["Moss Bar"]</AnswerList>\n<Result>[{WORD}]</Result>', ["Cafe Linde"], None),
    (f"<Result>[{MORE}]</Result> No: <Result>[{WORD}]</Result>", ["Cafe Linde"], None),
    (f"<Result>[{WORD}, {WORD}]</Result>", ["Cafe Linde"], None),
    # the tags
    (f"<RESULT>[{WORD}]</RESULT>", ["Cafe Linde"], None),
    (f"< result >[{WORD}]</ result >", ["Cafe Linde"], None),
    (f"<Result>[{WORD}]", ["Cafe Linde"], None),
    (f"[{WORD}]", ["Cafe Linde"], None),
    (f"Result: [{WORD}]", ["Cafe Linde"], None),
    (f"```json\n[{WORD}]\n```", ["Cafe Linde"], None),
    # the list
    (f"<Result>{WORD}</Result>", ["Cafe Linde"], None),
    ('<Result>["Cafe Linde", "Moss Bar"]</Result>', ["Cafe Linde", "Moss Bar"], None),
    ('<Result>[{"option": "Cafe Linde", "reason": "cosy"}]</Result>', ["Cafe Linde"], None),
    ('<Result>[{"Option": "Cafe Linde"}]</Result>', ["Cafe Linde"], None),
    ('<Result>[{"Option": "Cafe Linde", "Reason": null}]</Result>', ["Cafe Linde"], None),
    ("<Result>[{'Option': 'Cafe Linde', 'Reason': 'cosy'}]</Result>", ["Cafe Linde"], None),
    (f"<Result>Of course: [{WORD}]</Result>", ["Cafe Linde"], None),
    (f'<Result>[{WORD}, {{"Option": "Moss Bar", "Reas', ["Cafe Linde", "Moss Bar"], None),
    ('<Result>[{"Option": "Cafe Linde", "Reason": "so "cosy""}]</Result>', ["Cafe Linde"], None),
    (f"<Result>[{WORD},]</Result>", ["Cafe Linde"], None),
    ('<Result>[{"Option": "", "Reason": ""}, "Cafe Linde"]</Result>', ["Cafe Linde"], None),
    ("Option: Cafe Linde\nReason: cosy", ["Cafe Linde"], None),
    ("**Option 1:** Cafe Linde\n**Option 2:** Moss Bar", ["Cafe Linde", "Moss Bar"], None),
    # nothing, said in so many words
    ("<Result>[]</Result>", [], None),
    ("<Result></Result>", None, "format"),
    ("<Result>None</Result>", [], None),
    ("<Result>无</Result>", [], None),
    ("<Result>[{}]</Result>", [], None),
    ("[]", [], None),
    ("No answer", [], None),
    ("<Result>{}</Result>", [], None),
    ('<Result>[{"Option": "", "Reason": ""}]</Result>', [], None),
    ('<Result>[{"Option": "None", "Reason": "no cafe"}]</Result>', [], None),
    ("There are no options in the document.", [], None),
    ("The document does not mention any cafe.", [], None),
    ("The answer is [] since the text doesn't say.", [], None),
    ("<AnswerList>[]</AnswerList>\n<Result>[]</Result>", [], None),
    # failures
    ("", None, "empty"),
    ("抱歉，我无法回答这个问题。", None, "refusal"),
    ("Cafe Linde and Moss Bar", None, "format"),
    ("<Result>Cafe Linde</Result>", None, "format"),
    ("<Result>[1, 2]</Result>", None, "format"),
    ("<html><body>cafes</body></html>", None, "format"),
]


@pytest.mark.parametrize(("text", "names", "failure"), READ)
def test_what_is_read(text: str, names: list[str] | None, failure: str | None) -> None:
    reading = read_options(Completion(text))
    assert (None if reading.answer is None else list(reading.answer)) == names
    assert reading.failure == failure
    score = judge("corrected", [LINDE], text)
    if names == ["Cafe Linde"]:
        assert (score.value, score.failure) == (1.0, None)
    elif names:  # one option too many: F1 2/3 twice, and rightly answered
        assert score.value == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    else:
        assert score.value == 0.0
        assert score.failure == (failure or "wrong")
    assert judge("corrected", [], text).value == float(names == [])


@pytest.mark.parametrize(
    ("found", "wanted", "value"),
    [
        (["Cafe Linde"], ["cafe linde"], 1.0),
        (["《Cafe Linde》"], ["Cafe Linde!"], 1.0),
        (["Ｃａｆｅ Linde"], ["Cafe Linde"], 1.0),
        (["半亩咖啡"], ["半亩咖啡"], 1.0),
        (["Moss Bar"], ["Cafe Linde"], 1 / 3),
        (["Cafe Linde in Velmora"], ["Cafe Linde"], (1 + 4 / 6) / 3),
        (["半亩咖啡"], ["半亩咖啡店"], (1 + 8 / 9) / 3),
        (["a b"], ["b a"], (1 + 1 / 2) / 3),
        (["☕"], ["☕"], 1.0),
        (["x"], [], 0.0),
    ],
)
def test_likeness_of_options(found: list[str], wanted: list[str], value: float) -> None:
    assert judge("corrected", options(*wanted), result(*found)).value == pytest.approx(value)


def test_one_sure_option_of_many_is_no_full_score() -> None:
    wanted = options("one", "two", "three", "four")
    assert judge("official", wanted, result("one")).value == 1.0
    assert judge("corrected", wanted, result("one")).value == pytest.approx((1 + 0.4 + 0.4) / 3)


# --- one case for each quirk of the official rule ------------------------------------------------


def test_official_reads_the_last_closed_result_only() -> None:
    assert official_options(f"<Result>[{MORE}]</Result><Result>[{WORD}]</Result>") == {
        "Cafe Linde": "Cafe Linde is cosy."
    }
    for text in (f"[{WORD}]", f"<Result>[{WORD}]", f"<result>[{WORD}]</result>"):
        assert official_options(text) is None


def test_official_strips_the_letters_of_a_code_fence() -> None:
    assert official_options(f"<Result>```json\n[{WORD}]\n```</Result>") is not None
    assert official_options("<Result>json[]son</Result>") == {}


def test_official_wants_json_objects_with_two_strings() -> None:
    for inner in ("[{'Option': 'a', 'Reason': 'b'}]", '[{"Option": "a"}]', '["a"]', '{"a": 1}', ""):
        assert official_options(f"<Result>{inner}</Result>") is None


def test_official_later_duplicates_replace_earlier_ones() -> None:
    two = '[{"Option": "a", "Reason": "1"}, {"Option": "a", "Reason": "2"}]'
    assert official_options(f"<Result>{two}</Result>") == {"a": "2"}


def test_official_compares_an_english_option_as_one_piece() -> None:
    assert judge("official", options("Cafe Linde"), result("Cafe Lind")).stats[5] == 0.0
    assert judge("official", options("半亩咖啡"), result("半亩咖啡店")).stats[5] == pytest.approx(
        8 / 9
    )


def test_official_deletes_only_the_listed_punctuation() -> None:
    assert judge("official", options("Cafe Linde"), result("《cafe》 linde")).stats[6] == 1.0
    assert judge("official", options("Cafe Linde"), result("Cafe Linde!")).stats[6] == 0.0


def test_official_averages_over_predicted_options_only() -> None:
    assert judge("official", options("a", "b", "c"), result("a")).stats[5] == 1.0
    assert judge("official", options("a"), result("a", "b", "c")).stats[5] == pytest.approx(1 / 3)


def test_official_prints_minus_one_for_what_is_undefined() -> None:
    scoring = TASK.scorings["official"]
    sums = np.array(judge("official", [], "<Result>[]</Result>").stats)
    points = {m.name: (m.point(sums), float(m.from_sums(sums))) for m in scoring.metrics}
    assert points["f1"][0] == -1.0
    assert np.isnan(points["f1"][1])
    assert points["option_f1"] == (100.0, 100.0)


def test_official_errors_are_left_out_and_multiplied_back_in() -> None:
    stats = [judge("official", [LINDE], t).stats for t in (result("Cafe Linde"), "no list")]
    points = {m.name: m.point(np.sum(stats, axis=0)) for m in TASK.scorings["official"].metrics}
    assert points["readable"] == points["f1"] == points["option_em"] == 50.0


# --- corrected figures, files, hostile outputs ---------------------------------------------------


def test_a_failure_is_a_missed_or_an_invented_answer() -> None:
    assert judge("corrected", [LINDE], "").stats == (0, 0, 1, 0, 0, 0)
    assert judge("corrected", [], "").stats == (0, 1, 0, 0, 0, 0)


def test_figures_take_any_leading_axes() -> None:
    for scoring in TASK.scorings.values():
        sums = (
            np.random.default_rng(0).integers(1, 9, (2, 3, len(scoring.statistics))).astype(float)
        )
        for metric in scoring.metrics:
            whole = metric.from_sums(sums)
            assert whole.shape == (2, 3)
            assert whole[1, 2] == pytest.approx(float(metric.from_sums(sums[1, 2])))


def test_a_bad_row_names_the_field() -> None:
    with pytest.raises(ValueError, match="answer"):
        mrc_complex.row({"content": CONTENT, "answer": "<Result>?</Result>"})


def test_a_row_is_clustered_by_its_document() -> None:
    row = mrc_complex.row({"content": CONTENT, "answer": f"<Result>[{WORD}]</Result>"})
    assert row.source.strip() == "Cafe Linde is cosy. Moss Bar too."
    assert row.target == [LINDE]


def test_hostile_outputs() -> None:
    gold = {TASK.name: [LINDE, MOSS], mrc_simple.TASK.name: ["Cafe Linde is cosy."]}
    slowest = 0.0
    for task in (TASK, mrc_simple.TASK):
        item = sample(gold[task.name])  # type: ignore[arg-type]
        own = [task.gold(item), "Option", "Cafe Linde"]
        for text in (*ENDLESS, *hostile_texts(10_000, Random(0), own)):
            for scoring in task.scorings.values():
                start = time.perf_counter()
                score = scoring.score(item, [Completion(text)], Services())
                slowest = max(slowest, time.perf_counter() - start)
                assert 0.0 <= score.value <= 1.0
                assert np.isfinite(score.stats).all()
    assert slowest < 10  # seconds; the first use of jieba is in it


@pytest.mark.shared_data
def test_parity_with_the_authors(data_dir) -> None:
    from redone.tasks.sources import samples

    items = list(samples(TASK, data_dir))
    parity = json.loads((data_dir.parent / "parity" / "sns_bench.json").read_text("utf-8"))
    part = parity["Note-MRC-complex"]
    scoring = TASK.scorings["official"]
    pairs = zip(part["index"], part["prediction"], strict=True)
    scores = [scoring.score(items[i], [Completion(t)], Services()) for i, t in pairs]
    sums = np.sum([s.stats for s in scores], axis=0)
    ours = {metric.name: metric.point(sums) for metric in scoring.metrics}
    told = part["reference"]
    assert ours["f1_option"] == pytest.approx(told["reported"], abs=0.01)
    assert ours["readable"] == told["success-ratio"]
    assert 100 * sums[0] / (sums[0] + sums[1]) == pytest.approx(told["total-precision"], abs=0.01)
    assert 100 * sums[0] / (sums[0] + sums[2]) == pytest.approx(told["total-recall"], abs=0.01)
    for name in ("option_f1", "option_em", "reason_f1", "reason_em"):
        theirs = name.replace("_", "-")
        assert ours[name] == pytest.approx(told[f"success-{theirs}"], abs=0.01)
        assert ours[name] / ours["readable"] * 100 == pytest.approx(told[theirs], abs=0.01)
    assert ours["f1"] == pytest.approx(told["success-total-f1"], abs=0.01)


@pytest.mark.shared_data
def test_gold_sheet(data_dir) -> None:
    from redone.tasks.sources import samples

    items = list(samples(TASK, data_dir))
    for scoring in TASK.scorings.values():
        scores = [scoring.score(s, [Completion(TASK.gold(s))], Services()) for s in items]
        sums = np.sum([s.stats for s in scores], axis=0)
        assert scoring.metrics[0].point(sums) == pytest.approx(100.0)
        assert {s.value for s in scores} == {1.0}
