"""Filling, replacing, hashing and shortening prompts."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redone.tasks.errors import BadRow, MissingData, RedoneError, UnknownName
from redone.tasks.prompts import (
    ELLIPSIS,
    fields_of,
    load_prompts,
    messages,
    prompt_for,
    prompt_hash,
    shorten,
)
from redone.tasks.registry import TASKS, by_name, find
from redone.tasks.schema import Sample
from redone.tasks.sources import samples
from redone.tasks.task import Prompt

NER = by_name("sns_bench/ner")


def a_sample(**fields):
    return Sample("0" * 16, "x/a", fields, "a", "en", "1" * 16, "test", "gate", {})


def test_places_are_fields_and_other_braces_are_text():
    prompt = Prompt("Be {brief}.", 'Note: {note}\nTags: {tags}\nForm: {"a": {nothing}}')
    system, user = messages(prompt, {"note": "a {tags} note", "tags": ["茶", 1]})
    assert system == {"role": "system", "content": "Be {brief}."}
    assert user["content"] == 'Note: a {tags} note\nTags: ["茶", 1]\nForm: {"a": {nothing}}'
    assert len(messages(Prompt("", "x"), {})) == 1


def test_which_prompt_an_item_gets():
    assert prompt_for(NER, "zh", {}) is NER.prompts["zh"]
    assert prompt_for(NER, "fr", {}) is NER.prompts["en"]
    theirs, own = Prompt("", "theirs"), Prompt("", "own")
    assert prompt_for(NER, "zh", {"Note-NER": theirs}) is theirs
    assert prompt_for(NER, "zh", {"Note-NER": theirs, NER.name: own}) is own
    assert prompt_for(by_name("sns_bench/chlw"), "en", {"Note-NER": theirs}) is not theirs


def test_hash_tells_every_prompt_apart():
    other = {"Note-NER": Prompt("s", "{content}")}
    hashes = [
        prompt_hash(NER),
        prompt_hash(by_name("sns_bench/chlw")),
        prompt_hash(NER, other),
        prompt_hash(NER, {}, "system"),
        prompt_hash(NER, {}, ""),
        prompt_hash(replace(NER, prompts={"en": NER.prompts["en"]})),
    ]
    assert len(set(hashes)) == len(hashes)
    assert prompt_hash(NER, {}) == prompt_hash(NER, {"Note-CHLW": Prompt("", "x")})
    assert prompt_hash(NER, {"Note-NER": Prompt("s", "x")}) == prompt_hash(
        by_name("sns_mini/ner"), {"Note-NER": Prompt("t", "x")}, "s"
    )


def write(tmp_path, content):
    path = tmp_path / "prompts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_load(tmp_path):
    path = write(
        tmp_path,
        {
            "Note-NER": {"system": "s", "user": "{content} {question}"},
            "sns_trans/zh_en": {"user": "{zh}"},
        },
    )
    assert load_prompts(path, TASKS.values()) == {
        "Note-NER": Prompt("s", "{content} {question}"),
        "sns_trans/zh_en": Prompt("", "{zh}"),
    }


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ({"Note-NRE": {"user": "x"}}, UnknownName, r"'Note-NRE'.*'Note-NER'"),
        ({"Note-NER": {"user": "{contents}"}}, UnknownName, r"'Note-NER'.*'contents'.*'content'"),
        ({"Note-NER": {"user": "{answer}"}}, UnknownName, "'answer'"),
        ({"Note-NER": {"user": 3}}, BadRow, "'Note-NER', field 'user': a string"),
        ({"Note-NER": {"system": "x"}}, BadRow, "'user' is missing"),
        ({"Note-NER": {"usr": "x"}}, BadRow, "'usr' is unknown"),
        ({"Note-NER": "x"}, BadRow, "an object with"),
        ([], BadRow, "an object"),
        ("{", BadRow, "is not JSON"),
        ("[" * 100_000, BadRow, "is not JSON"),
    ],
)
def test_bad_files(tmp_path, content, error, said):
    with pytest.raises(error, match=said):
        load_prompts(write(tmp_path, content), TASKS.values())


def test_no_file(tmp_path):
    with pytest.raises(MissingData, match="cannot be read"):
        load_prompts(tmp_path / "nothing.json", TASKS.values())


@pytest.mark.parametrize("task", find("sns-mini"), ids=lambda t: t.name)
def test_own_prompts_show_fields_only(task, tmp_path):
    sample = next(samples(task, tmp_path))
    for language in task.prompts:
        user = messages(prompt_for(task, language, {}), dict.fromkeys(sample.fields, ""))[-1][
            "content"
        ]
        assert "{" not in user
    assert {n for n in fields_of(task) if n != "language"} <= set(sample.fields) | {"en", "zh"}


def length(shown):
    return sum(len(m["content"]) for m in shown)


@pytest.mark.parametrize("limit", [30, 31, 60, 137])
def test_shorten_keeps_as_much_as_fits(limit):
    sample = a_sample(note="word " * 40, tags="one, two", hidden="x" * 500)
    prompt = Prompt("Read.", "{note}|{tags}")
    short = shorten(sample, prompt, fits=lambda m: length(m) <= limit)
    assert short.field == "note"
    assert limit - 2 <= length(short.messages) <= limit
    assert short.messages[-1]["content"].endswith(f"{ELLIPSIS}|one, two")
    kept = short.messages[-1]["content"].partition(ELLIPSIS)[0]
    assert sample.fields["note"].startswith(kept)
    assert short.characters == 200 - len(kept)
    assert short == shorten(sample, prompt, fits=lambda m: length(m) <= limit)


def test_shorten_asks_few_times():
    asked = []

    def fits(shown):
        asked.append(1)
        return length(shown) <= 1000

    shorten(a_sample(note="x" * 100_000), Prompt("", "{note}"), fits=fits)
    assert len(asked) <= 18


def test_longest_field_first_by_name_among_equals():
    short = shorten(
        a_sample(b="x" * 9, a="y" * 9), Prompt("", "{b}{a}"), fits=lambda m: length(m) < 15
    )
    assert short.field == "a"


def test_what_cannot_be_shortened():
    with pytest.raises(RedoneError, match=r"does not fit.*'note'"):
        shorten(a_sample(note="x" * 9), Prompt("s" * 50, "{note}"), fits=lambda m: length(m) < 40)
    with pytest.raises(RedoneError, match="no text field"):
        shorten(a_sample(note=3), Prompt("", "{note}"), fits=lambda m: False)


@given(st.text(min_size=1, max_size=300), st.integers(1, 400))
def test_shortened_always_fits(text, limit):
    sample, prompt = a_sample(note=text), Prompt("", "{note}")
    short = shorten(sample, prompt, fits=lambda m: length(m) <= limit)
    assert length(short.messages) <= limit
    assert 0 < short.characters <= len(text)


@pytest.mark.shared_data
def test_the_authors_prompts_load(data_dir):
    path = data_dir / "sns-bench" / "official_prompts.json"
    if not path.is_file():
        raise MissingData(f"{path} is missing.")
    prompts = load_prompts(path, TASKS.values())
    assert set(prompts) == {t.prompt_key for t in TASKS.values() if t.name.startswith("sns_bench/")}
    for task in find(None, "sns_bench"):
        sample = next(samples(task, data_dir))
        prompt = prompt_for(task, "en", prompts)
        assert messages(prompt, sample.fields) != messages(prompt, {})
        assert prompt_hash(task, prompts) != prompt_hash(task)
