"""Which examples a page holds, and how."""

import json

import pytest

from redone.harness.gate.policy import load_policy
from redone.harness.html import packed_json, unpacked
from redone.reports.examples import HEAD, TAIL, chosen, examples, shortened
from redone.reports.stages import compare_runs


@pytest.fixture(scope="module")
def stages(base, tuned, refined):
    return compare_runs([base, tuned, refined], load_policy()).compared


def strata(**sizes):
    return {name: [(name, f"{name}-{k}") for k in range(size)] for name, size in sizes.items()}


class TestChoice:
    def test_everything_where_it_fits(self):
        assert len(chosen(strata(a=3, b=5), 8, 0)) == 8
        assert len(chosen(strata(a=3, b=5), None, 0)) == 8

    def test_every_stratum_gets_its_due(self):
        kept = chosen(strata(a=2, b=100, c=1000), 32, 0)
        counts = {name: sum(task == name for task, _ in kept) for name in "abc"}
        assert counts == {"a": 2, "b": 15, "c": 15}

    def test_it_is_seeded(self):
        many = strata(a=1000)
        assert chosen(many, 10, 1) == chosen(many, 10, 1) != chosen(many, 10, 2)

    def test_more_keeps_what_fewer_kept(self):
        many = strata(a=1000)
        assert chosen(many, 10, 1) < chosen(many, 20, 1)


class TestTexts:
    def test_are_stored_once(self, stages):
        kept = examples(stages)
        assert len(kept.texts) == len(set(kept.texts))
        assert len(kept.flips) == sum(kept.totals.values())

    def test_of_a_flip_are_those_of_the_run(self, stages, base):
        def lines(name):
            return map(json.loads, (base / name).read_text("utf-8").splitlines())

        asked = {item["id"]: item["requests"][0]["prompt"] for item in lines("samples.jsonl")}
        answers = {record["sample"]: record["text"] for record in lines("responses.jsonl")}
        kept = examples(stages)
        assert kept.flips
        for flip in kept.flips:
            assert kept.texts[flip["base"]["text"]] == answers[flip["sample"]]
            prompt = [(role, kept.texts[place]) for role, place in flip["prompt"]]
            assert prompt == [(m["role"], m["content"]) for m in asked[flip["sample"]]]

    def test_long_ones_are_cut_in_the_middle_and_counted(self, base, run_both):
        long = " ".join(f"long \u957f {n}" for n in range(100_000))

        def spoil(task, sample):
            return long if task.name.endswith("ner") else None

        loud = run_both("loud", spoil)
        found = compare_runs([base, loud], load_policy()).compared
        kept = examples(found)
        assert kept.cut == 1
        (cut,) = [text for text in kept.texts if isinstance(text, list)]
        assert cut == [long[:HEAD], len(long) - HEAD - TAIL, long[-TAIL:]]
        whole = examples(found, None)
        assert whole.cut == 0 and long in whole.texts

    def test_a_cut_text_loses_only_what_it_says(self):
        text = "".join(map(str, range(9000)))
        head, left_out, tail = shortened(text)
        assert head + text[len(head) : len(head) + left_out] + tail == text


def test_the_page_says_how_many_of_how_many(report, base, tuned):
    total = len(report(base, tuned, "--all-examples").unpacked("examples")["flips"])
    page = report(base, tuned, "--examples", "5")
    assert f"5 of {total} flips" in " ".join(page.text.split())
    assert len(page.unpacked("examples")["flips"]) == 5


def test_a_baseline_has_no_texts_and_flips_all_the_same(report, base, tuned, tmp_path):
    from redone.harness.scored_run import ScoredRun, save_baseline

    kept = save_baseline(ScoredRun(base), "v1", tmp_path)
    flip = report(kept, tuned).unpacked("examples")["flips"][0]
    assert flip["base"]["text"] is None and flip["candidate"]["text"] is not None


def test_packing_is_lossless():
    value = {"a": ["\u202e", "</script>", "\u6c49", None, 1.5]}
    packed = packed_json(value)
    assert json.loads(unpacked(packed)) == value
    assert "<" not in packed
