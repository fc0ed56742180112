"""Export: lm-eval runs our tasks and reports what our harness reports."""

import numpy as np
import pytest

from redone.tasks.cli import main
from redone.tasks.general.export import write_definitions
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Services
from redone.tasks.sources import samples

NAMES = ("sns_mini/gender", "sns_mini/mrc_complex", "sns_mini/zh_en", "sns_mini/query_gen")


def run_by_lm_eval(folder, names, answer):
    """lm-eval's results with a model that gives `answer(prompt)`, and what it was asked."""
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    asked = []

    class Canned(LM):
        tokenizer_name = "canned"

        def loglikelihood(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

        def apply_chat_template(self, chat_history, add_generation_prompt=True):
            return "\x1e".join(f"{m['role']}\x1f{m['content']}" for m in chat_history)

        def generate_until(self, requests):
            asked.extend(r.args for r in requests)
            return [answer(r.args[0]) for r in requests]

    found = simple_evaluate(
        model=Canned(),
        tasks=names,
        task_manager=TaskManager(include_defaults=False, include_path=str(folder)),
        bootstrap_iters=0,
        apply_chat_template=True,
    )
    return found["results"], asked


def by_user_text(sheet):
    """Answers by the user's text: what lm-eval's model sees of a sample."""
    from redone.tasks.prompts import messages, prompt_for

    table = {}
    for name in NAMES:
        (task,) = find(None, name)
        for sample in samples(task, None):
            asked = messages(prompt_for(task, sample.language, {}), sample.fields)
            table[asked[-1]["content"]] = sheet(task, sample)
    return table


def test_lm_eval_prints_our_scores(tmp_path):
    """Half of the answers are gold, the others the first of the gold answers."""
    write_definitions(tmp_path, "sns-mini")
    first = {name: next(samples(find(None, name)[0], None)) for name in NAMES}

    def sheet(task, sample):
        return task.gold(sample if sample.index % 2 else first[task.name])

    table = by_user_text(sheet)
    results, asked = run_by_lm_eval(
        tmp_path, [n.replace("/", "_") for n in NAMES], lambda p: table[p.split("\x1f")[-1]]
    )
    for name in NAMES:
        (task,) = find(None, name)
        for role in ("corrected", "official"):
            scoring = task.scorings[role].given(Services())
            scores = [
                scoring.score(s, [Completion(sheet(task, s))], Services())
                for s in samples(task, None)
            ]
            sums = [sum(column) for column in zip(*(s.stats for s in scores), strict=True)]
            found = results[name.replace("/", "_")][f"{role},none"]
            assert found == pytest.approx(scoring.metrics[0].point(np.array(sums))), (name, role)
    assert all(text.startswith(("system\x1f", "user\x1f")) for text, _ in asked)
    limits = {settings["max_gen_toks"] for _, settings in asked}
    assert len(limits) > 4, "a short text to translate has a short limit of its own"


def test_a_category_is_the_mean_of_its_tasks_and_a_suite_has_no_score(tmp_path, capsys):
    assert main(["lm-eval", str(tmp_path), "--suite", "sns-mini"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path)
    results, _ = run_by_lm_eval(tmp_path, ["sns-mini"], lambda prompt: "Yes")
    parts = [results[f"sns_mini_taxonomy_{n}"]["value,none"] for n in ("single", "multiple")]
    assert results["sns_bench_mini_taxonomy"]["value,none"] == pytest.approx(sum(parts) / 2)
    assert not any(key.startswith("corrected") for key in results["sns-mini"])
    assert len([n for n in results if n.startswith("sns_mini_")]) == 14
