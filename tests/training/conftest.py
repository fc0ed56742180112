"""A world for trainers in a temporary folder: invented tweets, and a tiny model taught the form."""

from __future__ import annotations

import os
from random import Random

import pytest
from tiny_models import tiny_config, tiny_tokenizer

from redone.tasks.prompts import messages, prompt_for
from redone.tasks.schema import Sample
from redone.tasks.tweeteval import TWEETEVAL

os.environ.setdefault("GOMP_SPINCOUNT", "100")

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ m['content'] + '<|end|>' }}"
    "{% else %}{{ m['content'] + '\n' }}{% endif %}{% endfor %}"
)
SEEN = 80
"""Characters of a prompt that the tokenizer keeps, the last ones: a test takes a second."""

LABELS = {
    "irony": ("non_irony", "irony"),
    "hate": ("not-hate", "hate"),
    "offensive": ("not-offensive", "offensive"),
    "emotion": ("anger", "joy", "optimism", "sadness"),
    "sentiment": ("negative", "neutral", "positive"),
}
TARGETS = ("abortion", "atheism", "climate", "feminist", "hillary")
STANCES = ("none", "against", "favor")
WORDS = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st", "uv", "wx", "yz"]


def tweet(random: Random) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(6, 14)))


@pytest.fixture(scope="session")
def tweets(tmp_path_factory):
    """A data folder with invented tweets in TweetEval's form: 24 to learn, 16 val, 8 test a task."""
    data = tmp_path_factory.mktemp("data")
    random = Random(3)

    def write(folder, prefix, labels, count):
        (folder / f"{prefix}_text.txt").write_text(
            "".join(tweet(random) + "\n" for _ in range(count))
        )
        (folder / f"{prefix}_labels.txt").write_text(
            "".join(f"{random.randrange(len(labels))}\n" for _ in range(count))
        )

    def mapping(folder, labels):
        folder.mkdir(parents=True)
        (folder / "mapping.txt").write_text("".join(f"{n}\t{x}\n" for n, x in enumerate(labels)))

    for name, labels in LABELS.items():
        folder = data / "tweeteval" / name
        mapping(folder, labels)
        for split, count in (("train", 24), ("val", 16), ("test", 8)):
            if (name, split) != ("sentiment", "train"):
                write(folder, split, labels, count)
    mapping(data / "tweeteval/stance", STANCES)
    for target in TARGETS:
        folder = data / "tweeteval/stance" / target
        folder.mkdir()
        for split, count in (("train", 6), ("val", 4), ("test", 2)):
            write(folder, split, STANCES, count)
    return data


def question_and_guess(tokenizer, random):
    """A question of TweetEval as it is asked, and a label at random in the form asked for."""
    task = random.choice([t for t in TWEETEVAL if not t.held_out])
    fields = {"text": tweet(random), "target": "this"}
    asked = messages(prompt_for(task, "en", {}), fields)
    sample = Sample("0" * 16, task.name, fields, None, "en", "", "train", "train", {})
    question = tokenizer.apply_chat_template(list(asked), tokenize=False)
    return question, task.baselines.random(sample, random)


@pytest.fixture(scope="session")
def beginner(tmp_path_factory):
    """A folder of a tiny model that answers in the form that is asked for, mostly wrongly."""
    import torch
    from tokenizers import Regex, normalizers
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("beginner")
    config = tiny_config("llama")
    config.max_position_embeddings = 4096
    config.initializer_range = 0.05
    model = AutoModelForCausalLM.from_config(config)
    tokenizer = tiny_tokenizer(TEMPLATE)
    cut = Regex(rf"[\s\S]+(?=[\s\S]{{{SEEN}}}\z)")
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(cut, "")
    random = Random(2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        pairs = [question_and_guess(tokenizer, random) for _ in range(24)]
        ids = [(tokenizer.encode(q), [*tokenizer.encode(a), 256]) for q, a in pairs]
        longest = max(len(q) + len(a) for q, a in ids)
        batch = torch.full((len(ids), longest), 256)
        labels = torch.full((len(ids), longest), -100)
        for n, (question, answer) in enumerate(ids):
            batch[n, : len(question) + len(answer)] = torch.tensor(question + answer)
            labels[n, len(question) : len(question) + len(answer)] = torch.tensor(answer)
        model(input_ids=batch, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
