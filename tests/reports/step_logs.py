"""Step logs as trainers write them."""

import json

HOSTILE = "<script>alert(1)</script>\x1b"


def dapo(step):
    """A step as RL logs it; every tenth is skipped."""
    if step % 10 == 0:
        return {"step": step, "parts": {}, "tasks": {}, "skipped": "every answer was worth 0"}
    return {
        "step": step,
        "loss": 1e-8 * step,
        "reward": 0.01 * step - 0.05,
        "parts": {"length": -0.05, HOSTILE: 0.0},
        "tasks": {
            "tweeteval/irony": {"value": 0.01 * step, "chance": 0.5, "n": 30},
            "sns_mini/ner": {"value": 0.0, "chance": 0.1, "n": 10},
        },
        "kept": 3,
        "dropped": 1,
        "tokens_generated": 100,
        "tokens_trained": 80,
        "later": {"field": 1},
    }


def sft(step):
    return {"step": step, "loss": 3 / step, "parts": {}, "tasks": {}, "tokens_trained": 64}


def logged(folder, steps, make, torn=""):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(make(step)) + "\n" for step in range(1, steps + 1)]
    (folder / "steps.jsonl").write_text("".join(lines) + torn, "utf-8")
    return folder
