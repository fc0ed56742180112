"""Stage 2: supervised fine-tuning on TRL's SFTTrainer; continued pre-training with `raw_text`.

The answer's tokens are learnt and the prompt's are only read; with `raw_text` the whole text is
learnt. A row is rendered as an evaluation asks it, so that training and use see the same prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..corpus.row import CorpusRow
from .adapters import lora_config
from .settings import SftSettings
from .steps import Progress, StageResult
from .supervised import arguments, check_trl, placeholder, quietly, run, tell_left_out, trained


def train_sft(
    settings: SftSettings,
    model: Path,
    rows: Sequence[CorpusRow],
    output: Path,
    *,
    rationale: Callable[[CorpusRow], bool] = lambda row: False,
    weight: Callable[[CorpusRow], float] = lambda row: 1.0,
    progress: Progress = lambda done, total, line: None,
) -> StageResult:
    """Fine-tune a model, or go on where an earlier start stopped.

    Args:
        settings: Of the stage.
        model: Folder of the model to start from.
        rows: To learn from; one that comes twice is learnt twice. Those longer than `max_tokens`
            are left out, and named in `left_out.json`.
        output: Gets `model/`, `checkpoints/`, `steps.jsonl` and `tensorboard/`.
        rationale: Whether a row's rationale is learnt before its answer.
        weight: Of a row's loss; only ratios count. Rows that mixing or selection drew come as often
            as their weight says already, so the default is the same for all.
        progress: Called after each optimiser step.

    Returns:
        What came of it; `stopped` says why it ended early.

    Raises:
        RedoneError: The model cannot be read, no row fits, memory does not suffice for one row.
        DiskFull: No space left; the last whole checkpoint is intact.
    """
    check_trl()
    if (done := trained(settings, output)) is not None:
        return done
    from ...harness.models.checkpoint import Checkpoint
    from .sequences import Tokeniser, packs_of, token_rows

    # On a GPU, too, the trainer moves it: which device is this process's own, only it knows.
    source = Checkpoint(str(model), "float32", "cpu")
    most = min(settings.max_tokens, source.context or settings.max_tokens)
    tokens, lost = token_rows(
        Tokeniser.of(source),
        rows,
        rationale=rationale,
        weight=weight,
        raw_text=settings.raw_text,
        max_tokens=most,
    )
    tell_left_out(output, lost, len(rows), most)
    lengths = [len(row) for row in tokens]
    packs = packs_of(lengths, most) if settings.packed else [[i] for i in range(len(tokens))]

    from trl.trainer.sft_config import SFTConfig

    from .packing import packs as shares
    from .sft_trainer import SftTrainer
    from .whole_batches import Order

    order, network = Order.of(settings, len(packs)), source.load()
    with quietly():
        trainer = SftTrainer(
            tokens,
            packs,
            model=network,
            args=SFTConfig(
                **arguments(settings, output, order.steps),
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=placeholder(),
            processing_class=source.tokenizer,
            peft_config=lora_config(settings.lora),
        )
    # On a GPU padded batches keep it busy anyway; there the tree's mask would cost more.
    trainer.shares_prefixes = trainer.args.device.type == "cpu" and shares(network)
    return run(trainer, settings, order, output, progress)
