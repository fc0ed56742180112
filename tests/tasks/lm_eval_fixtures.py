"""Small tasks in lm-eval's format, written for these tests, and a model with fixed answers."""

import hashlib
import json
from pathlib import Path

QUESTIONS = [
    {"question": f"How many legs have {n} cats?", "answer": f"{n} times 4. #### {4 * n}"}
    for n in range(2, 22)
]
CHOICES = [
    {
        "question": f"Which is the letter number {n + 1}?",
        "choices": ["apple tart", "bee", "cat and dog"],
        "gold": n % 3,
        "flag": n % 2,
        "sentence": f"The letter number {n + 1} of the alphabet stands here.",
        "german": f"Der Buchstabe Nummer {n + 1}",
    }
    for n in range(20)
]

TASKS = {
    "own_generate": """
dataset_path: own/questions
output_type: generate_until
training_split: train
fewshot_split: train
test_split: test
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: "{{answer}}"
num_fewshot: 2
generation_kwargs: {until: ["Q:"], do_sample: false, max_gen_toks: 12}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, regexes_to_ignore: ["(?s).*#### "]}
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: "#### (\\\\d+)"}, {function: take_first}]}
  - {name: loose, filter: [{function: regex, group_select: -1, regex_pattern: "(\\\\d+)"}, {function: take_first}]}
""",
    "own_choice": """
dataset_path: own/choices
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: acc_mutual_info, aggregation: mean, higher_is_better: true}
  - {metric: brier_score, aggregation: brier_score, higher_is_better: false}
""",
    "own_flag": """
dataset_path: own/choices
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: ["no", "yes"]
doc_to_target: flag
metric_list:
  - {metric: f1, aggregation: f1, higher_is_better: true}
  - {metric: mcc, aggregation: matthews_corrcoef, higher_is_better: true}
""",
    "own_last_word": """
dataset_path: own/choices
output_type: loglikelihood
test_split: test
doc_to_text: "{{question}}"
doc_to_target: " {{choices[0]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "own_text": """
dataset_path: own/choices
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{sentence}}"
metric_list:
  - {metric: word_perplexity}
  - {metric: byte_perplexity}
  - {metric: bits_per_byte}
""",
    "own_translation": """
dataset_path: own/choices
output_type: generate_until
test_split: test
doc_to_text: "{{sentence}} German:"
doc_to_target: "{{german}}"
generation_kwargs: {until: ["\\n"], do_sample: false}
metric_list:
  - {metric: bleu, aggregation: bleu, higher_is_better: true}
  - {metric: chrf, aggregation: chrf, higher_is_better: true}
  - {metric: ter, aggregation: ter, higher_is_better: false}
""",
    "own_votes": """
dataset_path: own/questions
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
repeats: 3
generation_kwargs: {until: [], do_sample: true, temperature: 0.5, max_gen_toks: 8}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, regexes_to_ignore: ["(?s).*#### "]}
filter_list:
  - {name: vote, filter: [{function: regex, regex_pattern: "(\\\\d+)"}, {function: majority_vote}, {function: take_first}]}
""",
}

GROUPS = {
    "own_pool": """
task: [own_choice, own_half]
aggregate_metric_list:
  - {metric: acc, aggregation: mean, weight_by_size: true}
""",
    "own_apart": """
task: [own_choice, own_half]
aggregate_metric_list:
  - {metric: acc, aggregation: mean, weight_by_size: false}
""",
}


def write_tasks(folder: Path) -> None:
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}{text}metadata: {{version: 1.5}}\n")
    half = TASKS["own_choice"].replace("test_split: test", "test_split: half")
    (folder / "own_half.yaml").write_text(f"task: own_half{half}metadata: {{version: 1.5}}\n")
    for name, text in GROUPS.items():
        (folder / f"{name}.yaml").write_text(f"group: {name}{text}metadata: {{version: 2}}\n")


def write_mirror(folder: Path, questions=QUESTIONS) -> None:
    def lines(name, rows):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    hashes = {
        "q/train.jsonl": lines("q/train.jsonl", questions[:8]),
        "q/test.jsonl": lines("q/test.jsonl", questions[8:]),
        "c/test.jsonl": lines("c/test.jsonl", CHOICES),
        "c/half.jsonl": lines("c/half.jsonl", CHOICES[:7]),
    }
    (folder / "mirror.toml").write_text(
        '[[dataset]]\nhub = "own/questions"\n'
        'files = { train = "q/train.jsonl", test = "q/test.jsonl" }\n'
        '[[dataset]]\nhub = "own/choices"\n'
        'files = { test = "c/test.jsonl", half = ["c/half.jsonl"] }\n'
        "[sha256]\n" + "".join(f'"{k}" = "{v}"\n' for k, v in hashes.items())
    )


def number(*texts) -> int:
    return int(hashlib.sha256("|".join(texts).encode()).hexdigest()[:8], 16)


def text_for(prompt: str, draw: int = 0) -> str:
    """An answer that is right, wrong or unreadable by its prompt, and always the same."""
    n = number(prompt, str(draw))
    numbers = [int(w) for w in prompt.rpartition("have")[2].split() if w.isdigit()]
    right = 4 * numbers[0] if numbers else 7
    return [f"It is {right}. #### {right}", f"{right}", "Der Buchstabe Nummer 4", ""][n % 4]


def likelihood_for(prompt: str, continuation: str) -> tuple[float, bool]:
    n = number(prompt, continuation)
    return -(n % 997) / 83, n % 5 == 0


def lm_eval_model():
    """The same model as lm-eval sees it."""
    from lm_eval.api.model import LM

    class Oracle(LM):
        tokenizer_name = "oracle"

        def loglikelihood(self, requests):
            return [likelihood_for(*r.args) for r in requests]

        def loglikelihood_rolling(self, requests):
            return [likelihood_for(r.args[0], "")[0] for r in requests]

        def generate_until(self, requests):
            seen = {}
            answers = []
            for r in requests:
                key = r.args[0]
                seen[key] = draw = seen.get(key, -1) + 1
                text = text_for(key, draw)
                for stop in r.args[1]["until"]:
                    text = text.split(stop)[0]
                answers.append(text)
            return answers

    return Oracle()


def our_model():
    """The same model as our harness sees it."""
    from redone.harness.models.scripted import ScriptedModel
    from redone.tasks.schema import Completion

    seen = {}

    def answer(request):
        if request.kind == "generate":
            key = request.prompt
            seen[key] = draw = seen.get(key, -1) + 1
            return text_for(key, draw)
        logprob, greedy = likelihood_for(request.prompt, request.continuation or "")
        return Completion("", logprob=logprob, greedy=greedy)

    return ScriptedModel(answer)
