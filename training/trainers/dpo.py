"""Direct preference optimisation on TRL's DPOTrainer: the last stage of the comparator `redone1`.

Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward
Model" (arXiv:2305.18290), with its sigmoid loss. RedOne 2.0 leaves this stage out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...tasks.errors import RedoneError
from ..corpus.preferences import Pair, read_pairs, write_pairs
from .adapters import lora_config
from .settings import DpoSettings
from .steps import Progress, StageResult
from .supervised import arguments, check_trl, placeholder, quietly, run, tell_left_out, trained

__all__ = ["Pair", "read_pairs", "train_dpo", "write_pairs"]


def train_dpo(
    settings: DpoSettings,
    model: Path,
    pairs: Sequence[Pair],
    output: Path,
    *,
    progress: Progress = lambda done, total, line: None,
) -> StageResult:
    """Train a model on preferences, or go on where an earlier start stopped.

    Args:
        settings: Of the stage.
        model: Folder of the model to start from; it is the reference, too.
        pairs: Those with an answer that is too long are left out, and named in `left_out.json`.
        output: Gets `model/`, `checkpoints/`, `steps.jsonl` and `tensorboard/`.
        progress: Called after each optimiser step.

    Returns:
        What came of it; `stopped` says why it ended early.

    Raises:
        RedoneError: The model cannot be read, there is no pair that fits, memory does not suffice
            for one pair.
        DiskFull: No space left; the last whole checkpoint is intact.
    """
    check_trl()
    if (done := trained(settings, output)) is not None:
        return done
    from ...harness.models.checkpoint import Checkpoint
    from .sequences import Tokeniser, TokenRow

    # On a GPU, too, the trainer moves it: which device is this process's own, only it knows.
    source = Checkpoint(str(model), "float32", "cpu")
    most = min(settings.max_tokens, source.context or settings.max_tokens)
    tokeniser = Tokeniser.of(source)
    both: list[tuple[TokenRow, TokenRow]] = []
    lost: list[str] = []
    for pair in pairs:
        prompt, better = tokeniser.turn(pair.messages, pair.chosen)
        _, worse = tokeniser.turn(pair.messages, pair.rejected)
        worse = worse[:-1] if pair.cut and len(worse) > 1 else worse
        if len(prompt) + max(len(better), len(worse)) <= most:
            both.append((TokenRow(prompt, better), TokenRow(prompt, worse)))
        else:
            lost.append(pair.id)
    tell_left_out(output, lost, len(pairs), most)
    if not both:
        raise RedoneError(
            f"None of {len(pairs)} pairs has {most} tokens or fewer, prompt and answer together: "
            "there is nothing to learn. Raise max_tokens, or sample more candidates: a model that "
            "answers a row always rightly or always wrongly prefers nothing."
        )

    from trl.trainer.dpo_config import DPOConfig

    from .dpo_trainer import DpoTrainer
    from .whole_batches import Order

    order = Order.of(settings, len(both))
    with quietly():
        trainer = DpoTrainer(
            both,
            settings.micro_batch,
            model=source.load(),
            args=DPOConfig(
                **arguments(settings, output, order.steps),
                beta=settings.beta,
                max_length=None,
                precompute_ref_log_probs=True,
            ),
            train_dataset=placeholder(prompt="a", chosen="b", rejected="c"),
            processing_class=source.tokenizer,
            peft_config=lora_config(settings.lora),
        )
    return run(trainer, settings, order, output, progress)
