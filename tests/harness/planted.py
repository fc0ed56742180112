"""Invented data and scripted models with planted weaknesses, for the tests of the diagnosis."""

import json
from random import Random

from redone.harness import evaluate as harness
from redone.harness.models.scripted import ScriptedModel
from redone.harness.scored_run import ScoredRun
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Services
from redone.tasks.sources import samples

GENDER, EXPLAIN = "sns_bench/gender", "sns_bench/query_corr_explain"
TOPIC, TAXONOMY = "sns_bench/query_corr_topic", "sns_bench/taxonomy_single"
NAMES = ",".join((GENDER, EXPLAIN, TOPIC, TAXONOMY))
KINDS = ("Baking", "Gardening", "Running", "Camping")


def write_items(folder):
    """240 invented items of four tasks, half of them Chinese, with lengths from 20 to 400."""
    (folder / "sns-bench").mkdir()
    random = Random(0)

    def note(n):
        words = "".join(random.choices("abcdefgh ", k=random.randint(10, 380)))
        return f"笔记第{n}号 {words}" if n % 2 else f"Note number {n} {words}"

    def write(name, rows):
        (folder / f"sns-bench/Note-{name}.json").write_text(json.dumps(rows))

    def rows(answers, **fields):
        return [
            {"language": "zh" if n % 2 else "en", "answer": random.choice(answers)}
            | {field: make(n) for field, make in fields.items()}
            for n in range(240)
        ]

    write("Gender", rows(["Yes", "No"], content=note))
    write("QueryCorr-explain", rows(["Yes", "No"], sentence1=lambda n: "why?", sentence2=note))
    levels = ["-1", "0", "1", "2", "3"]
    write("QueryCorr-topic", rows(levels, content=lambda n: f"Query: q\nNote: t{n} {note(n)}"))
    write("Taxonomy-single", rows(KINDS, content=note, candidates=lambda n: ", ".join(KINDS)))
    return folder


def evaluate(path, data, answer, names=NAMES, **options):
    """A finished run of a model that answers `answer(sample, task, draw)`."""
    tasks = find(None, names)
    known = {s.id: (s, t) for t in tasks for s in samples(t, data)}
    model = ScriptedModel(lambda r: answer(*known[r.sample], r.draw), name=str(path.name))
    plan = harness.Plan(tasks=tasks, data=data, **options)
    harness.evaluate(path, plan, model, Services(), {"name": model.name}, resamples=50)
    return ScoredRun(path)


def mostly_right(sample, task, draw=0, share=0.9):
    """The gold answer nine times in ten, else another label of the task."""
    random = Random(f"{sample.id}{draw}")
    gold = task.gold(sample)
    labels = {GENDER: ("Yes", "No"), EXPLAIN: ("Yes", "No"), TAXONOMY: KINDS}
    others = [x for x in labels.get(task.name, ("-1", "0", "1", "2", "3")) if x != gold]
    return gold if random.random() < share else random.choice(others)


def wrong_on_one_label(sample, task, draw=0):
    if task.name == TAXONOMY and sample.target == "Running":
        return "Camping"
    return mostly_right(sample, task, draw)


def cut_on_one_task(sample, task, draw=0):
    if task.name == TOPIC:
        return Completion("Let me think about what the note says", finish="length")
    return mostly_right(sample, task, draw)


def chinese_to_english_items(sample, task, draw=0):
    if task.name == EXPLAIN and sample.language == "en":
        return "这篇笔记讲了很多有意思的事情，我很喜欢"
    return mostly_right(sample, task, draw)
