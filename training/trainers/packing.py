"""Rows as tokens, their packing, and log-probabilities of their answers: tree, padded or packed.

A prompt is rendered as an evaluation renders it, and the answer's tokens follow it as a model would
write them, so training and evaluation see the same prompt.

The G answers to one prompt repeat its tokens G times, the prompts of one task repeat its
instruction, and many answers to a closed question are the same. In a padded batch all of that is
computed, and its gradient too, again and again. As a tree, every common beginning is there once;
the tree goes through the model as one sequence, each token at its own position and seeing only its
ancestors. Values and gradients are those of the padded batch: a shared token's gradient is the sum
of what its descendants send back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...harness.models.cpu.sharing import common_length
from ...harness.models.rendering import Renderer, plain_text
from ...harness.models.thinking import opening
from ...tasks.errors import RedoneError
from ...tasks.schema import Message
from ..rows import TrainingRow

if TYPE_CHECKING:
    from torch import Tensor

    from ...harness.models.checkpoint import Checkpoint

    Model = Any


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row as tokens.

    Attributes:
        prompt: Ids that are read only; 1 or more.
        answer: Ids that are learned, the one that ends the turn included; 1 or more.
        weight: Of each of their losses.
    """

    prompt: list[int]
    answer: list[int]
    weight: float = 1.0

    @property
    def tokens(self) -> list[int]:
        return [*self.prompt, *self.answer]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


class RowTokenizer:
    """Turns conversations and answers into tokens for one model.

    Args:
        renderer: The model's chat template and tokenizer, thinking switched off.
        end: Id of the token that ends the assistant's turn.
    """

    def __init__(self, renderer: Renderer, end: int) -> None:
        self.renderer, self.end = renderer, end
        self.thinking = Renderer(renderer.tokenizer, {}, "auto")

    @classmethod
    def of(cls, source: Checkpoint) -> RowTokenizer:
        """That of a model folder."""
        renderer = Renderer(source.tokenizer, {}, "off")
        made = cls(renderer, _turn_end(source, renderer))
        made.renderer.rows = made.thinking.rows = source.rows
        made.renderer.check_known([made.end])
        return made

    def turn(self, messages: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
        """A conversation and the answer to learn.

        An answer without thinking follows what the chat template writes before one, such as
        Qwen3's empty `<think></think>`. That belongs to the prompt: a model that learned to write
        it would no longer think where it is to. An answer that thinks follows the prompt of a model
        that may.
        """
        begun = opening(answer, self.renderer.marks)
        rendered = (self.thinking if begun else self.renderer).render(messages)
        if begun and rendered.opened:
            answer = answer[begun[1] :].lstrip("\n")
        elif not begun:
            before = self.renderer.before_answer(messages)
            rendered = replace(rendered, text=rendered.text + before)
        (prompt,) = self.renderer.encode([rendered])
        return prompt or [self.renderer.first_token], [*self._ids(answer), self.end]

    def plain(self, messages: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
        """The whole text without a template: all of it is learned but the first token."""
        text = plain_text([*messages, {"role": "assistant", "content": answer}]).strip("\n")
        tokenizer = self.renderer.tokenizer
        ids: list[int] = tokenizer(text, verbose=False)["input_ids"]  # type: ignore[assignment]
        eos: int = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else self.end  # type: ignore[assignment]
        if not ids or ids[0] != self.renderer.first_token:
            ids = [self.renderer.first_token, *ids]
        self.renderer.check_known([*ids, eos])
        return ids[:1], [*ids[1:], eos]

    def _ids(self, text: str) -> list[int]:
        found: Any = self.renderer.tokenizer(text, add_special_tokens=False, verbose=False)
        self.renderer.check_known(found["input_ids"])
        return found["input_ids"]


def _turn_end(source: Checkpoint, renderer: Renderer) -> int:
    """The token with which the chat template ends an assistant's turn, else the end of a text."""
    if renderer.turn_end is not None:
        return renderer.turn_end
    if not source.eos:
        raise RedoneError(
            f"{source.folder} names no token that ends a text, so no answer could be taught to "
            "end. Give its tokenizer an `eos_token`."
        )
    own = source.tokenizer.eos_token_id
    return int(own) if own is not None else min(source.eos)  # type: ignore[arg-type]


def token_rows(
    tokenizer: RowTokenizer,
    rows: Iterable[TrainingRow],
    *,
    rationale: Callable[[TrainingRow], bool],
    weight: Callable[[TrainingRow], float],
    raw_text: bool,
    max_tokens: int,
) -> tuple[list[TokenRow], list[str]]:
    """Rows as tokens.

    Args:
        tokenizer: Of the model.
        rows: To learn from.
        rationale: Whether a row has to reason, and its rationale is learned.
        weight: Of a row's loss; the mean over all learned tokens counts as 1.
        raw_text: The whole text is learned, without a template.
        max_tokens: Prompt and answer together.

    Returns:
        Those that fit, in order, and the ids of those that do not.

    Raises:
        RedoneError: None fits, or a weight is not 0 or more.
    """
    kept: list[TokenRow] = []
    left_out: list[str] = []
    for row in rows:
        if not 0 <= (own := weight(row)) < float("inf"):
            raise RedoneError(f"Row {row.id!r} has the weight {own}: a number from 0 is expected.")
        reasoned = rationale(row)
        made = tokenizer.plain if raw_text else tokenizer.turn
        prompt, answer = made(row.asked(reasoned), row.learnt(reasoned))
        if len(prompt) + len(answer) <= max_tokens:
            kept.append(TokenRow(prompt, answer, own))
        else:
            left_out.append(row.id)
    total = sum(len(row.answer) for row in kept)
    mean = sum(row.weight * len(row.answer) for row in kept) / max(1, total)
    if not mean:
        what = "has a weight above 0" if kept else f"has {max_tokens} tokens or fewer"
        raise RedoneError(
            f"None of the {len(kept) + len(left_out)} rows {what}, so there is nothing to learn. "
            "Raise max_tokens, or give other rows."
        )
    return [TokenRow(r.prompt, r.answer, r.weight / mean) for r in kept], left_out


# --- packing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenTree:
    """Sequences as a tree, nodes in the order of a walk from the root, parents first.

    Attributes:
        tokens: Token id of each node.
        parents: Node before each node, -1 for a first token.
        depths: Position of each node in its sequences, from 0.
        ends: One more than the last node below each node: the nodes from a node to its end are
            those that begin with it.
        paths: The nodes of each sequence, in the order in which the sequences were given.
    """

    tokens: list[int]
    parents: list[int]
    depths: list[int]
    ends: list[int]
    paths: list[list[int]]

    @staticmethod
    def of(sequences: Sequence[Sequence[int]]) -> TokenTree:
        """The tree of some token lists, none of them empty."""
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        paths: list[list[int]] = [[] for _ in sequences]
        before: Sequence[int] = []
        path: list[int] = []
        # In sorted order neighbours share the most, and nodes come in the order of the walk.
        for number in sorted(range(len(sequences)), key=lambda i: list(sequences[i])):
            now = list(sequences[number])
            shared = common_length(before, now)
            path = path[:shared] + list(range(len(tokens), len(tokens) + len(now) - shared))
            tokens += now[shared:]
            parents += [path[i - 1] if i else -1 for i in range(shared, len(now))]
            depths += range(shared, len(now))
            paths[number], before = path, now
        ends = list(range(1, len(tokens) + 1))
        for node in range(len(tokens) - 1, -1, -1):
            if (parent := parents[node]) >= 0:
                ends[parent] = max(ends[parent], ends[node])
        return TokenTree(tokens, parents, depths, ends, paths)

    def sight(self, device: Any = None) -> Tensor:
        """What each token sees: bool, shape [nodes, nodes], True where column precedes row."""
        import torch

        ends = torch.tensor(self.ends, device=device)
        nodes = torch.arange(len(self.tokens), device=device)
        return (nodes[:, None] >= nodes) & (nodes[:, None] < ends)


_PACK = 640
"""Nodes that go through the model together: more spills the caches, and attention is over all."""


def micro_batches(
    sequences: Sequence[Sequence[int]], rows: int, shared: bool = False
) -> list[list[int]]:
    """Share sequences out to forward passes.

    Args:
        sequences: Token ids.
        rows: Sequences in one pass, 1 or more. With `shared` a pass holds the tokens of as many of
            the longest, so that what sequences have in common makes room for more of them.
        shared: Whether common beginnings are computed once.

    Returns:
        Indices of each pass; neighbours are alike in length or, with `shared`, in their beginnings.
    """
    if not sequences:
        return []
    if not shared:
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
        return [order[i : i + rows] for i in range(0, len(order), rows)]
    longest = max(map(len, sequences))
    most = max(longest, min(rows * longest, _PACK))
    batches: list[list[int]] = []
    nodes, before = 0, list[int]()
    for i in sorted(range(len(sequences)), key=lambda i: list(sequences[i])):
        now = list(sequences[i])
        new = len(now) - common_length(before, now)
        if batches and nodes + new <= most:
            batches[-1].append(i)
            nodes += new
        else:
            batches.append([i])
            nodes = len(now)
        before = now
    return batches


def padded(lists: Sequence[Sequence[Any]], fill: Any, left: bool = False) -> tuple[Tensor, Tensor]:
    """Lists of numbers as one tensor, and the mask of what is no filling.

    Returns:
        Both of shape [lists, longest].
    """
    import torch

    width = max(map(len, lists))

    def filled(values: Sequence[Any], fill: Any) -> list[Any]:
        filling = [fill] * (width - len(values))
        return [*filling, *values] if left else [*values, *filling]

    mask = [filled([1] * len(values), 0) for values in lists]
    return torch.tensor([filled(values, fill) for values in lists]), torch.tensor(mask)


def tree_logprobs(
    model: Model,
    sequences: Sequence[Sequence[int]],
    prompts: Sequence[int],
    temperature: float = 1.0,
) -> tuple[list[Tensor], list[Tensor]]:
    """Log-probabilities of answers, and the entropies of the distributions they were drawn from.

    Args:
        model: A causal language model of transformers whose every layer attends to all earlier
            tokens (or its DDP wrapper); gradients flow through the log-probabilities.
        sequences: Token ids, prompt and answer.
        prompts: How many tokens of each sequence are the prompt, 1 or more, and not all of them.
        temperature: Logits are divided by it.

    Returns:
        For each sequence the log-probabilities of its answer's tokens, and the entropies in nats
        (without gradient), shape [tokens of the answer], float32.
    """
    import torch

    # The last token of a sequence is only looked up: its next-token distribution is not needed.
    tree = TokenTree.of([ids[:-1] for ids in sequences])
    before = [path[length - 1 :] for path, length in zip(tree.paths, prompts, strict=True)]
    sources = sorted({node for nodes in before for node in nodes})
    place = {node: i for i, node in enumerate(sources)}
    device = next(model.parameters()).device
    logits = model(
        input_ids=torch.tensor([tree.tokens], device=device),
        attention_mask=tree.sight(device)[None, None],
        position_ids=torch.tensor([tree.depths], device=device),
        use_cache=False,
        logits_to_keep=torch.tensor(sources, device=device),
    ).logits[0]
    logits = logits.float() / temperature
    total = logits.logsumexp(-1)
    with torch.no_grad():
        spread = total - (logits.softmax(-1) * logits).sum(-1)
    rows = torch.tensor([place[node] for nodes in before for node in nodes], device=device)
    targets = [token for ids, n in zip(sequences, prompts, strict=True) for token in ids[n:]]
    logprobs = logits[rows, torch.tensor(targets, device=device)] - total[rows]
    lengths = [len(nodes) for nodes in before]
    return list(logprobs.split(lengths)), list(spread[rows].split(lengths))


_PROBE = ((5, 9, 3, 7, 11), (5, 9, 3, 4), (5, 9, 3, 7, 2, 8))
_CLOSE = 1e-3  # of log-probabilities in float32; another formula is far off


def supports_trees(model: Model) -> bool:
    """Whether a model gives a tree's log-probabilities as it does those of single sequences.

    It does not where a layer attends to some of the earlier tokens only, or keeps a state: the
    configuration tells of the former, a trial of the latter.

    Args:
        model: A causal language model of transformers.
    """
    import torch

    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or (
        getattr(config, "sliding_window", None) and not hasattr(config, "layer_types")
    ):
        return False
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            found, _ = tree_logprobs(model, _PROBE, [2] * len(_PROBE))
            for ids, logprobs in zip(_PROBE, found, strict=True):
                logits = model(input_ids=torch.tensor([ids], device=model.device)).logits[0, 1:-1]
                right = logits.float().log_softmax(-1)
                right = right[range(len(ids) - 2), list(ids[2:])]
                if not torch.allclose(logprobs, right, atol=_CLOSE):
                    return False
        return True
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return False
    finally:
        model.train(training)


def packs_of(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Rows distributed to sequences: best fit, the longest first.

    Args:
        lengths: Tokens of each row, none above `most`.
        most: Tokens of a sequence.

    Returns:
        The indices in each sequence.
    """
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (left, pack), sorted
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = bisect_left(room, (lengths[index], -1))
        left, pack = room.pop(at) if at < len(room) else (most, len(packs))
        if pack == len(packs):
            packs.append([])
        packs[pack].append(index)
        insort(room, (left - lengths[index], pack))
    return packs


def padded_logprobs(model: Any, rows: Sequence[TokenRow], pad: int) -> list[Tensor]:
    """Log-probabilities of answers, a row of the batch each.

    Args:
        model: A causal language model of transformers; gradients flow.
        rows: A batch.
        pad: Fills up shorter rows, and is masked.

    Returns:
        For each row those of its answer's tokens, float32.
    """
    import torch

    device = next(model.parameters()).device
    prompts, prompt_mask = padded([row.prompt for row in rows], pad, left=True)
    answers, mask = padded([row.answer for row in rows], pad)
    ids = torch.cat([prompts, answers], 1).to(device)
    seen = torch.cat([prompt_mask, mask], 1).to(device)
    logits = model(
        input_ids=ids,
        attention_mask=seen,
        position_ids=(seen.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=answers.shape[1] + 1,
    ).logits[:, :-1]
    found = _chosen(logits, answers.to(device))
    return [line[: len(row.answer)] for line, row in zip(found, rows, strict=True)]


def packed_logprobs(model: Any, rows: Sequence[TokenRow]) -> list[Tensor]:
    """The same of rows one after the other in one sequence, none seeing another.

    Positions begin anew with each row; attention of every kind in transformers is kept apart by
    them where there is neither mask nor cache.
    """
    import torch

    device = next(model.parameters()).device
    ids = [token for row in rows for token in row.tokens]
    positions = [place for row in rows for place in range(len(row))]
    starts = torch.tensor([len(row) for row in rows]).cumsum(0).tolist()
    sources = [
        place
        for row, end in zip(rows, starts, strict=True)
        for place in range(end - len(row.answer) - 1, end - 1)
    ]
    logits = model(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        use_cache=False,
        logits_to_keep=torch.tensor(sources, device=device),
    ).logits[0]
    answers = torch.tensor([token for row in rows for token in row.answer], device=device)
    return list(_chosen(logits, answers).split([len(row.answer) for row in rows]))


def _chosen(logits: Tensor, tokens: Tensor) -> Tensor:
    """The log-probability of one token under each distribution."""
    logits = logits.float()
    return logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)
