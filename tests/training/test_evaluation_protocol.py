"""A recipe may ask its domain as the authors do; its robustness suites stay as they are."""

import json

import pytest

from redone.tasks.datasets import dataset
from redone.tasks.errors import MissingData, RedoneError
from redone.tasks.schema import Services
from redone.tasks.sources import DataPaths
from redone.training.evaluations import Evaluator
from redone.training.recipe import Evaluation


def evaluator(folder, domain, protocol="official"):
    asked = Evaluation(domain=(domain,), robustness=("general-mini",), protocol=protocol)
    return Evaluator(asked, DataPaths(folder), Services())


@pytest.fixture
def published(tmp_path):
    """What `redone tasks fetch` writes, with numbers of our own."""
    names = dataset("sns-bench").prompts.generation.names
    home = tmp_path / "sns-bench"
    home.mkdir()
    prompts = dict.fromkeys(names, {"system": "", "user": "Q"})
    (home / "official_prompts.json").write_text(json.dumps(prompts))
    limits = dict.fromkeys(names.values(), {"max_out_len": 55})
    (home / "official_generation.json").write_text(json.dumps({"by_abbr": limits}))
    return tmp_path


def test_the_tasks_of_the_domain_that_have_a_protocol_are_asked_under_it(published):
    found = evaluator(published, "sns-mini").protocol()
    assert len(found.settings) == 12 and {s.max_tokens for s in found.settings.values()} == {55}
    assert not any(name.startswith(("general_mini/", "sns_mini/zh")) for name in found.settings)
    assert evaluator(published, "sns-mini", "").protocol().settings == {}


def test_a_domain_without_one_and_missing_files_are_refused(tmp_path):
    with pytest.raises(RedoneError, match="tweeteval/irony.* fine-tune classifiers"):
        evaluator(tmp_path, "tweeteval").protocol()
    with pytest.raises(MissingData, match="redone tasks fetch sns-bench"):
        evaluator(tmp_path, "sns-mini").protocol()
