"""How the authors of a benchmark ask it: their prompts, limits and sampling, by reading."""

from __future__ import annotations

import json

import pytest

from redone.tasks.datasets import dataset
from redone.tasks.errors import BadRow, MissingData, RedoneError, UnknownName
from redone.tasks.protocol import READINGS, load_protocol, why_none
from redone.tasks.registry import TASKS, find
from redone.tasks.schema import Settings

NAMES = dataset("sns-bench").prompts.generation.names
GENDER = "sns-NoteGender"


@pytest.fixture
def folder(tmp_path):
    """What `redone tasks fetch` writes, with other texts and numbers."""
    home = tmp_path / "sns-bench"
    home.mkdir()
    prompts = {name: {"system": f"S {name}", "user": "U"} for name in NAMES}
    (home / "official_prompts.json").write_text(json.dumps(prompts))
    write(tmp_path)
    return tmp_path


def write(folder, example=True, **gender):
    """The file of limits; `gender` changes its entry."""
    kwargs = {"temperature": 0.6, "top_p": 0.8}
    limits = {a: {"max_out_len": 300, "extra_gen_kwargs": kwargs} for a in NAMES.values()}
    limits[GENDER] |= gender
    raw = {"by_abbr": limits}
    if example:
        raw["example"] = {"do_sample": True, "temperature": 0.2, "top_p": 0.05, "top_k": 9}
    (folder / "sns-bench" / "official_generation.json").write_text(json.dumps(raw))


def of(name, folder, task="sns_bench/gender"):
    protocol = load_protocol(name, find(tasks=task), folder)
    return protocol.settings[task]


def test_prompts_limits_and_sampling_come_from_the_authors_files(folder):
    write(folder, max_out_len=200)
    protocol = load_protocol("official", find(tasks="sns_bench/*"), folder)
    assert protocol.name == "official"
    assert protocol.prompts["sns_bench/mrc_complex"].system == "S Note-MRC-complex"
    assert protocol.settings["sns_bench/gender"].max_tokens == 200
    others = {s.max_tokens for n, s in protocol.settings.items() if n != "sns_bench/gender"}
    assert len(protocol.settings) == 12 and others == {300}


def test_the_reading_of_their_sampling_can_be_chosen(folder):
    assert of("official", folder) == Settings(300, (), 0.2, 0.05, 9)
    assert of("official:example", folder) == of("official", folder)
    assert of("official:configured", folder) == Settings(300, (), 0.6, 0.8, 0)
    assert of("official:greedy", folder) == Settings(300)
    names = [
        load_protocol(f"official:{r}", find(tasks="sns_bench/ner"), folder).name for r in READINGS
    ]
    assert names == ["official", "official:configured", "official:greedy"]


def test_an_older_file_without_the_example_run_has_the_known_one(folder):
    write(folder, example=False)
    assert of("official", folder) == Settings(300, (), 0.1, 0.01)


def test_the_demonstration_is_asked_as_what_it_imitates(folder):
    assert of("official", folder, "sns_mini/gender") == of("official", folder)


@pytest.mark.parametrize("limit", [0, -1, "4096", None, 1.5, True])
def test_a_limit_of_another_form_is_refused_by_name(folder, limit):
    write(folder, max_out_len=limit)
    with pytest.raises(BadRow, match=rf"{GENDER}, max_out_len.*{limit!r}"):
        of("official", folder)


@pytest.mark.parametrize("kwargs", [None, [], {"temperature": "0"}, {"top_p": 0}, {"top_k": -1}])
def test_a_sampling_of_another_form_is_refused(folder, kwargs):
    write(folder, extra_gen_kwargs=kwargs)
    with pytest.raises(BadRow, match=f"{GENDER}, extra_gen_kwargs"):
        of("official:configured", folder)
    assert of("official:greedy", folder).temperature == 0


@pytest.mark.parametrize("file", ["official_prompts.json", "official_generation.json"])
def test_without_the_authors_files_the_message_says_how_to_get_them(folder, file):
    (folder / "sns-bench" / file).unlink()
    with pytest.raises(MissingData, match=f"{file}.*redone tasks fetch sns-bench"):
        of("official", folder)


def test_names_are_checked(folder):
    for name in ("oficial", "official:written", ""):
        with pytest.raises(UnknownName):
            of(name, folder)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("tweeteval/irony", "tweeteval/irony: its authors fine-tune classifiers"),
        ("sns_bench/ner,sns_trans/*", "sns_trans/zh_en, sns_trans/en_zh: the configuration"),
        ("lm_eval:gsm8k", "lm-eval's definition is how it is asked"),
        ("general_mini/*", "and 5 more: nobody but redone"),
    ],
)
def test_tasks_without_a_protocol_are_refused_in_one_line(folder, names, reason):
    with pytest.raises(RedoneError) as refused:
        load_protocol("official", find(tasks=names), folder)
    assert reason in str(refused.value) and "\n" not in str(refused.value)


def test_every_task_has_a_protocol_or_a_reason():
    with_one = {name for name, task in TASKS.items() if not why_none(task)}
    assert {name.partition("/")[0] for name in with_one} == {"sns_bench", "sns_mini"}
    assert len(with_one) == 24


@pytest.mark.shared_data
def test_the_published_protocol_of_sns_bench(data_dir):
    found = load_protocol("official:configured", find(tasks="sns_bench/*"), data_dir)
    for name, settings in found.settings.items():
        assert settings == Settings(2048 if name == "sns_bench/gender" else 4096, (), 0.7, 0.9)
    assert of("official", data_dir) == Settings(2048, (), 0.1, 0.01)
