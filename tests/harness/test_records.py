"""The files of a run folder: what is written is what is read, key by key."""

import orjson
import pytest

from redone.harness.records import (
    RequestRecord,
    ResponseRecord,
    SampleRecord,
    parts_of,
    score_schema,
    seed_of,
    services_of,
)
from redone.tasks.schema import Completion, Request, Sample, Settings

SAMPLE = Sample("0a", "t/a", {"content": "note"}, "Yes", "en", "c1", "test", "gate", {"topic": "x"})
PROMPT = ({"role": "user", "content": "note?"},)


def line(record):
    """A record after a way through its file."""
    return orjson.loads(orjson.dumps(record.json()))


def test_a_sample_is_read_as_it_was_written():
    settings = {"max_tokens": 7, "stop": ["\n"]}
    choice = RequestRecord("h1", "raw", "loglikelihood", " yes", settings)
    record = SampleRecord(SAMPLE, (RequestRecord("h2", PROMPT), choice), {"field": "content"})
    found = SampleRecord.parse(line(record))
    assert found.sample == SAMPLE and found.shortened == record.shortened
    assert found.requests[1] == choice
    assert tuple(found.requests[0].prompt) == PROMPT


def test_what_is_absent_has_no_key():
    record = SampleRecord(SAMPLE, (RequestRecord("h", PROMPT),))
    assert list(line(record)["requests"][0]) == ["hash", "prompt"]
    assert "shortened" not in line(record)
    response = ResponseRecord("0a", "h", 0, "Yes", "stop")
    assert not {"thinking", "logprob", "greedy"} & line(response).keys()
    assert line(response)["tokens"] == 0


def test_identical_requests_of_a_sample_are_sent_once():
    twice = RequestRecord("h", PROMPT)
    assert SampleRecord(SAMPLE, (twice, twice, RequestRecord("g", PROMPT))).distinct == [
        twice,
        RequestRecord("g", PROMPT),
    ]


def test_a_completion_comes_back_from_its_line():
    request = Request("0a", PROMPT, Settings(), hash="h", draw=2)
    completion = Completion("x", "length", "hm", 5, 3, 0.25, -1.5, True)
    record = ResponseRecord.of(request, completion, wall=0.5)
    found = ResponseRecord.parse(line(record))
    assert found == record and found.completion == completion
    assert found.key == ("0a", "h", 2)


def test_half_a_character_becomes_one_that_can_be_written():
    record = ResponseRecord.of(Request("0a", PROMPT, Settings()), Completion("a\ud800b"), 0.0)
    assert line(record)["text"] == "a\ufffdb"


def test_keys_of_a_later_version_are_ignored():
    known = ResponseRecord("0a", "h", 0, "x", "stop")
    assert ResponseRecord.parse({**line(known), "new": 1}) == known


@pytest.mark.parametrize(("temperature", "seeded"), [(0.0, False), (0.7, True)])
def test_only_sampled_answers_have_a_seed(temperature, seeded):
    request = RequestRecord("h", PROMPT).request("0a", Settings(temperature=temperature), 1, 9)
    assert request.seed == (seed_of(9, "0a", "h", 1) if seeded else None)


def test_settings_of_its_own_replace_the_tasks():
    own = RequestRecord("h", PROMPT, settings={"max_tokens": 7, "stop": ["\n"]})
    request = own.request("0a", Settings(max_tokens=64), 0, 0)
    assert request.settings == Settings(max_tokens=7, stop=("\n",))


def test_every_column_of_the_score_table_has_a_type():
    schema = score_schema()
    assert schema.names == [
        *("task", "sample", "cluster", "partition", "split", "language", "tags", "characters"),
        *("index", "draw", "scoring", "value", "stats", "parsed", "failure", "scored", "finish"),
        *("tokens", "prompt_tokens"),
    ]
    types = {name: str(schema.field(name).type) for name in ("task", "draw", "stats", "tags")}
    assert types["task"].startswith("dictionary") and types["draw"] == "int32"
    assert types["stats"].startswith("list") and types["tags"].startswith("map")


def test_the_services_of_a_signature_are_what_is_not_its_own():
    signed = "t/a|v:1|scoring:corrected|n:16|embedder:abc:1|redone:0.1.0"
    assert parts_of(signed)["n"] == "16"
    assert services_of(signed) == {"embedder": "abc:1"}
