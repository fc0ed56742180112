"""An invented data folder in TweetEval's form, rows made by hand, and models with a script."""

import json
from random import Random

from redone.harness.cli import main as evaluate
from redone.harness.diagnosis.cli import main as diagnose
from redone.harness.diagnosis.schema import (
    SCHEMA_VERSION,
    Bucket,
    Diagnosis,
    Estimate,
    Method,
    Slice,
    Subject,
    read_diagnosis,
)
from redone.tasks.registry import find
from redone.tasks.sources import cluster_of, samples
from redone.training.rows import TrainingRow

LABELS = {
    "irony": ("non_irony", "irony"),
    "hate": ("not-hate", "hate"),
    "offensive": ("not-offensive", "offensive"),
    "emotion": ("anger", "joy", "optimism", "sadness"),
    "stance": ("none", "against", "favor"),
}
TARGETS = ("abortion", "atheism", "climate", "feminist", "hillary")
SIZES = {"train": 200, "val": 160, "test": 20}
NAMES = ",".join(f"tweeteval/{name}" for name in LABELS)


def tweet(random):
    """Invented words, so that no two tweets overlap."""
    words = "".join(random.choices("abcdefghijklmnoprstuvwy", k=random.randint(3, 9)))
    more = ("".join(random.choices("abcdefghijklmnoprstuvwy", k=6)) for _ in range(9))
    return " ".join((words, *more))


def write_tweets(folder, train=SIZES["train"], sadness=0.25):
    """TweetEval's five trainable tasks; a share of the train rows of `emotion` is sad."""
    random = Random(0)
    for task, labels in LABELS.items():
        base = folder / "tweeteval" / task
        base.mkdir(parents=True)
        mapping = "".join(f"{number}\t{label}\n" for number, label in enumerate(labels))
        (base / "mapping.txt").write_text(mapping)
        for part in TARGETS if task == "stance" else ("",):
            (base / part).mkdir(exist_ok=True)
            for split, size in {**SIZES, "train": train}.items():
                size = size // 5 if part else size
                marks = [number % len(labels) for number in range(size)]
                if task == "emotion" and split == "train":
                    sad = round(size * sadness)
                    marks = [3] * sad + [number % 3 for number in range(size - sad)]
                tweets = "".join(tweet(random) + "\n" for _ in marks)
                (base / part / f"{split}_text.txt").write_text(tweets)
                (base / part / f"{split}_labels.txt").write_text("".join(f"{m}\n" for m in marks))
    return folder


def diagnosed(folder, data, wrong, partition="diagnose"):
    """What `redone diagnose` says of a model that errs where `wrong(task, sample)` gives a text."""
    sheet = folder / "answers.jsonl"
    with sheet.open("w") as file:
        for task in find(None, NAMES):
            for sample in samples(task, data):
                text = wrong(task, sample)
                text = task.gold(sample) if text is None else text
                file.write(json.dumps({"id": sample.id, "prediction": text}) + "\n")
    run = folder / "run"
    asked = ["--backend", "scripted", "--model", str(sheet), "--tasks", NAMES]
    assert evaluate([*asked, "--data-dir", str(data), "--output", str(run)]) == 0
    report = folder / "diagnosis.json"
    assert diagnose([str(run), "--partition", partition, "--output", str(report)]) == 0
    return read_diagnosis(report)


def row(number, task="tweeteval/irony", label="irony", **more):
    """A row by hand: a tweet of its own under a task and a label."""
    text = f"tweet {number} {tweet(Random(f'{task}{number}'))}"
    gold = {"irony": "Yes", "non_irony": "No"}.get(label, label)
    known = dict(
        id=f"{task}/{number}",
        task=task,
        messages=({"role": "user", "content": f"Tweet: {text}\nAnswer:"},),
        answer=gold,
        fields={"text": text},
        target=label,
        tags={"label": label},
        cluster=cluster_of(text),
    )
    return TrainingRow(**{**known, **more})


def bucket(task, capability, priority, label=None, items=()):
    part = label and Slice("label", "", label, None)
    gap = Estimate(priority * 100, priority * 90, priority * 110)
    return Bucket(task, capability, part, "wrong", gap, priority, 40, tuple(items))


def diagnosis(*buckets, partition="diagnose"):
    """A diagnosis by hand, of nothing but buckets."""
    method = Method(0, 1, 1, 0.95, 0.01, 1, 8, 5, 0.05)
    first = sorted(buckets, key=lambda b: -b.priority)
    return Diagnosis(
        schema_version=SCHEMA_VERSION,
        redone="0",
        run=Subject("by-hand", "m", "0"),
        partition=partition,
        scoring="corrected",
        reference="ceiling",
        against=None,
        method=method,
        tasks={},
        capabilities=(),
        weaknesses=(),
        buckets=tuple(first),
        hints=(),
        published=None,
        notes=(),
    )
