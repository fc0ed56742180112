"""One of our tasks in lm-eval: our items, prompts, limits and scores, its models and tables.

Imported by lm-eval alone, from the definitions that `export.py` writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

from ..prompts import messages, prompt_for
from ..registry import by_name
from ..schema import Completion, Sample, Services
from ..sources import data_folder, samples

ROLES = ("corrected", "official")


class ExportedTask(ConfigurableTask):
    """One of our tasks.

    The metrics are `corrected` and `official` (the primary metric of each scoring, in percent, as
    `redone eval` prints it; a scoring that needs a service is used in its reduced form) and
    `value`, the mean reward of an answer, 0..1.

    Args:
        config: lm-eval's; `metadata.redone` names the task.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.ours = by_name(config["metadata"]["redone"])
        self._scorings = {r: self.ours.scorings[r].given(Services()) for r in ROLES}
        settings = self.ours.settings
        super().__init__(
            config={
                "task": config["task"],
                "test_split": "test",
                "output_type": "generate_until",
                "doc_to_text": "user",
                "doc_to_target": "gold",
                "num_fewshot": 0,
                "generation_kwargs": {
                    "until": list(settings.stop),
                    "max_gen_toks": settings.max_tokens,
                    "do_sample": False,
                },
                "metric_list": [{"metric": "bypass"}],
                "metadata": config["metadata"],
            }
        )
        self._metric_fn_list = {}  # `process_results` decides what is measured

    def download(self, dataset_kwargs: Any = None, **_: Any) -> None:
        """Our samples as rows of texts."""
        import datasets

        self.samples: dict[str, Sample] = {}
        rows = []
        for sample in samples(self.ours, data_folder()):
            self.samples[sample.id] = sample
            chat = messages(prompt_for(self.ours, sample.language, {}), sample.fields)
            rows.append(
                {
                    "id": sample.id,
                    "messages": json.dumps(chat, ensure_ascii=False),
                    "user": chat[-1]["content"],
                    "gold": self.ours.gold(sample),
                }
            )
        self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)})

    def fewshot_context(self, doc: Any, num_fewshot: int = 0, **options: Any) -> str:
        """The messages through the chat template, or as plain text, a blank line between."""
        chat = json.loads(doc["messages"])
        if options.get("apply_chat_template") and options.get("chat_template"):
            return options["chat_template"](chat)
        return "\n\n".join(m["content"].strip("\n") for m in chat) + "\n"

    def construct_requests(self, doc: Any, ctx: Any, **options: Any) -> Instance:
        """One answer, within the limit of this very sample."""
        found = super().construct_requests(doc, ctx, **options)
        assert isinstance(found, Instance)
        if self.ours.limit is not None:
            text, settings = found.arguments
            limit = min(settings["max_gen_toks"], self.ours.limit(self.samples[doc["id"]]))
            found.arguments = (text, {**settings, "max_gen_toks": limit})
        return found

    def process_results(self, doc: Any, results: Sequence[str]) -> dict[str, Any]:
        """Statistics under each scoring, and the reward."""
        sample, answer = self.samples[doc["id"]], [Completion(results[0])]
        scores = {r: s.safely(sample, answer, Services()) for r, s in self._scorings.items()}
        return {
            **{role: list(score.stats) for role, score in scores.items()},
            "value": scores["corrected"].value,
        }

    def aggregation(self) -> dict[str, Any]:
        """The primary metric of summed statistics."""
        return {**{role: self._figure(role) for role in ROLES}, "value": mean}

    def higher_is_better(self) -> dict[str, bool]:
        """More is better in all of them."""
        return dict.fromkeys((*ROLES, "value"), True)

    def _figure(self, role: str) -> Any:
        metric = self._scorings[role].metrics[0]
        return lambda items: metric.point(np.sum(np.asarray(items, dtype=np.float64), axis=0))
