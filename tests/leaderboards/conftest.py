"""Small runs, and the submissions that they make."""

import copy

import orjson
import pytest

from redone.harness.published.paper import SHIPPED, load_paper
from redone.harness.scored_run import ScoredRun
from redone.leaderboards.schema import Submission
from redone.leaderboards.submission import submission_of

SUITES = "sns-mini,general-mini"


@pytest.fixture(scope="session")
def paper():
    return load_paper(SHIPPED / "redone2.toml")


@pytest.fixture(scope="session")
def finished(scripted_run):
    """Wrong on each third item of both embedded suites."""

    def spoil(task, sample):
        return "I cannot tell." if sample.index % 3 == 0 else None

    return scripted_run("finished", spoil, "--limit", "12", suite=SUITES)


@pytest.fixture(scope="session")
def better(scripted_run):
    """All right, asked just as `finished` was."""
    return scripted_run("better", lambda *_: None, "--limit", "12", suite=SUITES)


@pytest.fixture(scope="session")
def submission(finished):
    return submission_of(ScoredRun(finished))


@pytest.fixture
def changed(submission):
    """`changed(change) -> Submission`: a copy whose record `change(record)` altered."""

    def make(change, name=None):
        record = copy.deepcopy(orjson.loads(orjson.dumps(submission.model_dump())))
        if name:
            record["model"]["name"] = name
        change(record)
        return Submission.model_validate(record)

    return make
