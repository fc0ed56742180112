"""Numbers, progress and notes, as people see them."""

import pytest

from redone.harness import display
from redone.harness.display import Progress, ProgressBar, duration, interval, probability, score


def test_there_is_one_format_of_an_interval():
    assert interval(22.84, 28.76, 1) == "[22.8,\u00a028.8]"
    assert interval(-1.5, 2, 1, sign=True) == "[\u22121.5,\u00a0+2.0]"
    assert interval(None, 3.0) == interval(float("nan"), 3.0) == ""


def test_what_is_undefined_is_a_dash_and_no_p_value_is_zero():
    assert score(None) == score(float("nan")) == "–"
    assert probability(0.0) == "< 0.001"


@pytest.mark.parametrize(
    ("seconds", "said"), [(42, "42 s"), (1020, "17 min"), (11520, "3.2 h"), (99.6, "100 s")]
)
def test_durations_have_one_unit(seconds, said):
    assert duration(seconds) == said


class TestProgressInALog:
    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch):
        """A clock that stands until a test moves it; standard error is captured: no terminal."""
        self.now = 0.0
        monkeypatch.setattr(display.time, "monotonic", lambda: self.now)

    def test_a_line_comes_each_minute_with_the_time_left(self, capsys):
        with ProgressBar("sft") as bar:
            for step in range(1, 5):
                bar(step, 10, f"loss {step}")
                self.now += 40
        assert capsys.readouterr().err == "sft 3/10  loss 3  5 min left\n"

    def test_responses_have_a_line_each_minute_and_no_more(self, capsys):
        with Progress(1000) as progress:
            progress.already(0)
            for _ in range(200):
                self.now += 1
                progress.answered(tokens=1)
        assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
            "60/1000",
            "120/1000",
            "180/1000",
        ]

    def test_the_last_step_is_always_shown(self, capsys):
        with ProgressBar("sft") as bar:
            bar(1, 1, "loss 0.5")
        assert capsys.readouterr().err == "sft 1/1  loss 0.5\n"

    def test_resumed_responses_are_counted_and_not_part_of_the_rate(self, capsys):
        with Progress(100) as progress:
            progress.already(40)
            self.now = 60.0
            progress.answered(tokens=120)
        assert capsys.readouterr().err.splitlines() == [
            "Resuming: 40 of 100 responses are there.",
            "41/100  0.0 items/s, 2 tokens/s  59 min left",
        ]
