"""Speed of lm-eval, vLLM alone and our backends on the same prompts of SNS-Bench.

    python benchmarks/backends.py --model FOLDER --data-dir DIR --vllm-python PYTHON
    python benchmarks/backends.py --model FOLDER --data-dir DIR --vllm-python PYTHON --agreement

An even mix of the twelve subtasks with the authors' prompts, greedy; every side in a process of its
own, in turn, start-up timed separately. `--vllm-python` is the interpreter of an environment with
vLLM and redone (`make test-vllm` makes one). Finished runs are saved: rerun the same command to
resume. Timings are meaningful only on an idle machine.

With --agreement the same prompts go once, in float32, through hf, vllm and endpoint (its prompts
rendered here, and by the server): prompts must be the same token for token, answers up to ties,
which are listed. A tie is a first difference where the two best logits of transformers' own forward
pass are within 0.001 of each other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from answers_agree import agreement
from machine import TINY, keep, machine, results
from questions import SECTIONS, stop_with
from vllm_server import environment

from redone.tasks.errors import RedoneError

HERE = Path(__file__).resolve().parent
OURS, VLLM = "backend_side.py", "vllm_side.py"
SIDES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "lm-eval hf": ("lm_eval_side.py", False, {}),
    "redone hf": (OURS, False, {"backend": "hf"}),
    "vLLM alone": (VLLM, True, {}),
    "redone vllm": (OURS, True, {"backend": "vllm"}),
    "redone endpoint": (OURS, False, {"backend": "endpoint", "api": "completions"}),
}
"""By name: script, whether it runs in vLLM's environment, what the setup has besides."""
AGREE = {
    "hf": SIDES["redone hf"],
    "vllm": SIDES["redone vllm"],
    "endpoint": SIDES["redone endpoint"],
    "endpoint, server's template": (OURS, False, {"backend": "endpoint", "api": "chat"}),
}


def main() -> None:
    options = _options()
    path = results(options.tiny) / f"{options.name}.json"
    record: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    record["machine"] = machine("redone", "torch", "transformers", "lm-eval")
    try:
        if options.agreement:
            _agree(options, path, record)
        else:
            _measure(options, path, record)
    except RedoneError as error:
        stop_with(error)


def _options() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("--model", required=True, metavar="FOLDER")
    p.add_argument("--data-dir", metavar="DIR")
    p.add_argument("--vllm-python", default=".venv-vllm/bin/python", metavar="PYTHON")
    p.add_argument("--section", choices=SECTIONS, default="mix")
    p.add_argument("--items", type=int, metavar="N", help="per task (default 16; agreement 17)")
    p.add_argument("--max-tokens", type=int, default=64, metavar="N", help="cap of tasks' limits")
    p.add_argument("--repeats", type=int, default=3, metavar="N")
    p.add_argument("--only", metavar="SIDE,SIDE", help=f"of {', '.join(SIDES)}")
    p.add_argument("--dtype", default="bfloat16", help="of the timings")
    p.add_argument("--max-num-seqs", type=int, default=32, metavar="N", help="of vLLM")
    p.add_argument("--max-model-len", type=int, default=8192, metavar="N", help="of vLLM")
    p.add_argument("--lm-eval-batch", type=int, default=8, metavar="N")
    p.add_argument("--agreement", action="store_true")
    p.add_argument("--name", default="backends", help="of the result files")
    p.add_argument("--tiny", action="store_true", help=f"{TINY}; without vLLM")
    options = p.parse_args()
    if options.tiny:
        options.items, options.max_tokens, options.repeats = 1, 4, 1
        options.only = options.only or "redone hf"
    return options


def _setup(options: argparse.Namespace, items: int, dtype: str) -> dict[str, Any]:
    return {
        "model": str(Path(options.model).resolve()),
        "dtype": dtype,
        "section": options.section,
        "items": items,
        "data_dir": options.data_dir,
        "max_tokens": options.max_tokens,
        "batch_size": options.lm_eval_batch,
        "vllm_python": os.path.abspath(options.vllm_python),
        "engine": {
            "max_num_seqs": options.max_num_seqs,
            "max_model_len": options.max_model_len,
        },
    }


def _kept(record: dict[str, Any], part: str, setup: dict[str, Any]) -> dict[str, Any]:
    """The runs of a part, those of another setup forgotten."""
    # Where the folders lie is nobody's business: results are made to be shown.
    hidden = {"data_dir", "vllm_python"}
    shown = {k: Path(v).name if k == "model" else v for k, v in setup.items() if k not in hidden}
    if record.get(part, {}).get("setup") != shown:
        record[part] = {"setup": shown, "runs": {}}
    return record[part]


def _measure(options: argparse.Namespace, path: Path, record: dict[str, Any]) -> None:
    setup = _setup(options, options.items or 16, options.dtype)
    part = _kept(record, "speed", setup)
    chosen = options.only.split(",") if options.only else list(SIDES)
    for side in chosen:
        if side not in SIDES:
            raise RedoneError(f"Unknown side {side!r}. Known: {', '.join(SIDES)}.")
    for repeat in range(options.repeats):
        for side in chosen:
            runs = part["runs"].setdefault(side, [])
            if len(runs) > repeat:
                continue
            print(f"{side}, run {repeat + 1} of {options.repeats} ...", flush=True)
            run = _run(*SIDES[side], setup)
            # Answers hold pieces of the prompts, which are not ours to spread.
            texts = run.pop("answers")
            run["digests"] = {k: _digest(v) for k, v in texts.items()}
            for name in ("prompts", "ids", "finish"):
                run.pop(name, None)
            runs.append(run)
            keep(path, record)
    part["summary"] = summary(part["runs"])
    keep(path, record)
    table = markdown(record)
    path.with_suffix(".md").write_text(table, "utf-8")
    print(table)


def _agree(options: argparse.Namespace, path: Path, record: dict[str, Any]) -> None:
    setup = _setup(options, options.items or 17, "float32")
    # It has texts of the benchmark: never among the results, gone at the end.
    scratch = HERE.parent / "build" / f"{options.name}_agreement.json"
    scratch.parent.mkdir(exist_ok=True)
    texts = json.loads(scratch.read_text("utf-8")) if scratch.exists() else {}
    part = _kept(texts, "agreement", setup)
    for side, (script, elsewhere, more) in AGREE.items():
        if side not in part["runs"]:
            print(f"{side} ...", flush=True)
            part["runs"][side] = _run(script, elsewhere, more, setup)
            scratch.write_text(json.dumps(texts), "utf-8")
    record["agreement"] = {"setup": part["setup"]} | agreement(setup["model"], part["runs"])
    keep(path, record)
    scratch.unlink()
    print(json.dumps(record["agreement"], indent=1))
    bad = [s for s, found in record["agreement"]["sides"].items() if found["wrong"]]
    prompts = [s for s, found in record["agreement"]["sides"].items() if found["other_prompts"]]
    if bad or prompts:
        raise SystemExit(f"More than ties differ: {bad}; other prompts: {prompts}.")


def _run(script: str, elsewhere: bool, more: dict[str, Any], setup: dict[str, Any]) -> Any:
    """One side, once, in a process of its own."""
    python = setup["vllm_python"] if elsewhere else sys.executable
    if not Path(python).exists():
        raise RedoneError(f"There is no {python}: `make test-vllm` makes it, or --vllm-python.")
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log.txt"
        with log.open("w") as out:
            done = subprocess.run(
                [python, str(HERE / script), json.dumps(setup | more), str(result)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment() | {"HF_DATASETS_CACHE": folder},
                check=False,
            )
        if done.returncode or not result.exists():
            tail = log.read_text("utf-8", "replace")[-3000:]
            raise RedoneError(f"{script} ended with status {done.returncode}:\n{tail}")
        return json.loads(result.read_text("utf-8"))


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.strip().encode()).hexdigest()[:8]


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Per side: medians, tokens, and how many answers are those of our hf."""
    ours = runs.get("redone hf", [])
    out = {}
    for side, found in runs.items():
        seconds = median(r["seconds"] for r in found)
        first = found[0]["digests"]
        same = [first[k] == v for k, v in ours[0]["digests"].items()] if ours else []
        out[side] = {
            "seconds": seconds,
            "all_seconds": [round(r["seconds"], 2) for r in found],
            "load_seconds": median(r["load_seconds"] for r in found),
            "items": len(first),
            "tokens": found[0]["tokens"],
            "equal_answers": sum(same) / len(same) if same else None,
        }
    return out


def markdown(record: dict[str, Any]) -> str:
    """The results as a page."""
    told, sides = record["machine"], record["speed"]["summary"]
    plain = sides.get("vLLM alone", {}).get("seconds")
    lines = [
        "# Backends side by side",
        "",
        f"{told['processor']}, {told['threads']} threads; "
        + ", ".join(f"{k} {v}" for k, v in told["versions"].items())
        + f". {record['speed']['setup']['dtype']}, {record['speed']['setup']['section']}.",
        "",
        "| side | items | seconds | runs | speed beside vLLM alone | tokens | start s "
        "| answers as redone hf |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for side, s in sides.items():
        ratio = f"{plain / s['seconds']:.2f}" if plain else ""
        same = "" if s["equal_answers"] is None else f"{s['equal_answers']:.1%}"
        lines.append(
            f"| {side} | {s['items']} | {s['seconds']:.1f} "
            f"| {', '.join(f'{t:.1f}' for t in s['all_seconds'])} | {ratio} | {s['tokens']} "
            f"| {s['load_seconds']:.1f} | {same} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
