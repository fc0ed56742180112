"""One measured run of lm-eval's command, in a process of its own; started by eval_speed.py.

The command is lm-eval's own, `lm_eval run --model hf ...`, with the same prompts as tasks; around
it the loading of the model and the answering are timed and the generated tokens counted. Arguments
as for redone_side.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from questions import limited, questions

from redone.tasks.schema import Request


def main(setup: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    asked = questions(setup["section"], setup["items"], setup["data_dir"])
    requests = limited(asked, setup["max_tokens"])
    found: dict[str, Any] = {"tokens": 0, "seconds": 0.0, "loaded": 0.0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = write_tasks(folder, requests)
        _measure(found)
        arguments = [
            "run", "--model", "hf",
            "--model_args", f"pretrained={setup['model']},dtype={setup['dtype']}",
            "--tasks", *names,
            "--include_path", str(folder),
            "--device", "cpu",
            "--batch_size", str(setup["batch_size"]),
            "--apply_chat_template",
            "--log_samples",
            "--output_path", str(folder / "out"),
        ]  # fmt: skip
        command(arguments)
        answers, prompts = _samples(folder / "out")
    return {
        "seconds": found["seconds"],
        "load_seconds": found["loaded"],
        "process_seconds": time.perf_counter() - started,
        "tokens": found["tokens"],
        "answers": answers,
        "prompts": prompts,
    }


def write_tasks(folder: Path, requests: Sequence[Request]) -> list[str]:
    """Task files for lm-eval.

    Args:
        folder: Gets a YAML and a JSON-lines file per task.
        requests: Messages, a system text or none and one of the user.

    Returns:
        The tasks' names.
    """
    by_task: dict[str, list[Request]] = {}
    for request in requests:
        by_task.setdefault(request.sample.rpartition("/")[0], []).append(request)
    names = []
    for task, group in by_task.items():
        name = "redone_" + task.replace("/", "_")
        lines = []
        for request in group:
            texts = {m["role"]: m["content"] for m in request.prompt if not isinstance(m, str)}
            lines.append(json.dumps({"key": request.sample, "system": "", **texts}))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        settings = group[0].settings
        # JSON is YAML. Without `until` lm-eval would stop at an empty line.
        definition = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {
                "data_files": {"test": str(folder / f"{name}.jsonl")},
                "cache_dir": str(folder / "cache"),
            },
            "test_split": "test",
            "output_type": "generate_until",
            "description": "{{system}}",
            "doc_to_text": "{{user}}",
            "doc_to_target": "",
            "fewshot_delimiter": "",
            "target_delimiter": "",
            "metric_list": [{"metric": "bypass"}],
            "generation_kwargs": {
                "until": list(settings.stop),
                "max_gen_toks": settings.max_tokens,
                "do_sample": False,
            },
        }
        (folder / f"{name}.yaml").write_text(json.dumps(definition, indent=1), "utf-8")
        names.append(name)
    return names


def command(arguments: Sequence[str]) -> None:
    """lm-eval's command line, in this process."""
    from lm_eval.__main__ import cli_evaluate

    sys.argv = ["lm_eval", *arguments]
    cli_evaluate()


def _measure(found: dict[str, Any]) -> None:
    """Time the loading and the answering of lm-eval's model, and count what it generates."""
    from lm_eval.models import huggingface

    HFLM: Any = huggingface.HFLM
    load, answer, generate = HFLM.__init__, HFLM.generate_until, HFLM._model_generate

    def timed(name: str, function: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                found[name] += time.perf_counter() - start

        return wrapped

    def counted(self: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        out = generate(self, context, *args, **kwargs)
        for row in out[:, context.shape[1] :].tolist():
            end = self.eot_token_id
            found["tokens"] += row.index(end) + 1 if end in row else len(row)
        return out

    HFLM.__init__ = timed("loaded", load)
    HFLM.generate_until = timed("seconds", answer)
    HFLM._model_generate = counted


def _samples(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Answers and rendered prompts by key, from lm-eval's sample logs."""
    answers, prompts = {}, {}
    for path in folder.rglob("samples_*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            sample = json.loads(line)
            key = sample["doc"]["key"]
            answers[key] = sample["resps"][0][0]
            prompts[key] = sample["arguments"]["gen_args_0"]["arg_0"]
    return answers, prompts


if __name__ == "__main__":
    setup, result = sys.argv[1:]
    Path(result).write_text(json.dumps(main(json.loads(setup))), "utf-8")
