"""A stage of reinforcement learning on a tiny random model, judged by rules of the test's own."""

from redone.training.rewards import Rewards, ScoredAnswer
from redone.training.rows import TrainingRow
from redone.training.settings import DapoSettings

TASK = "tweeteval/irony"


def rows(count=10, **fields):
    return [
        TrainingRow(
            f"row {i}", TASK, ({"role": "user", "content": f"Question number {i}?"},), "Yes",
            fields={"text": "t"}, target="irony", **fields,
        )
        for i in range(count)
    ]  # fmt: skip


def settings(**changes):
    small = dict(
        steps=4, prompts_per_step=3, group_size=4, max_prompt_tokens=100, max_new_tokens=6,
        learning_rate=1e-3, weight_decay=0.1, micro_batch=4, save_every=2, dtype="float32",
        max_resamples=2,
    )  # fmt: skip
    return DapoSettings(**{**small, **changes})


class Ruled(Rewards):
    """Rewards by a function of row and completion: a value, or (value, shaping)."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def score(self, rows, completions, limits=None):
        judged = []
        for row, completion in zip(rows, completions, strict=True):
            given = self.rule(row, completion)
            value, term = given if isinstance(given, tuple) else (given, 0.0)
            if value is None:
                judged.append(ScoredAnswer(None))
            else:
                judged.append(ScoredAnswer(value, None, value + term, {"length": term}))
        return judged


def by_bytes(row, completion):
    """About half of what a random model writes is right."""
    return float(sum(completion.text.encode()) % 2)
