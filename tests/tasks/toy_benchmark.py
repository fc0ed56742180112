"""A made-up benchmark: the one file that a newcomer writes. `test_registry.py` registers it."""

from redone.tasks.extraction import extract_text
from redone.tasks.metrics.classification import accuracy_scoring, is_target
from redone.tasks.schema import Record
from redone.tasks.task import Baselines, Benchmark, Category, Prompt, Task

LABELS = ("tea", "milk")


def records(folder):
    """Yields the items; a real benchmark reads them from a file of the data folder."""
    for n in range(20):
        yield Record({"note": f"note {n}"}, LABELS[n % 2], "en", f"note {n}")


DRINK = Task(
    name="toy/drink",
    title="Which drink",
    prompts={"en": Prompt("", "{note}")},
    read=records,
    scorings={
        "corrected": accuracy_scoring(
            "corrected", lambda sample, completion: extract_text(completion, "en"), is_target
        )
    },
    gold=lambda sample: sample.target,
    baselines=Baselines(
        random=lambda sample, random: random.choice(LABELS),
        constants=lambda samples: LABELS,
        all_candidates=lambda sample: " ".join(LABELS),
    ),
)
BENCHMARK = Benchmark("Toys", {"drinks": Category("Drinks", (DRINK,))})
