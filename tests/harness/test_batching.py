"""An answer must not depend on the batch: one row at a time against eight, in every architecture."""

from __future__ import annotations

import pytest
from tiny_architectures import tiny_architecture, tiny_network
from tiny_models import tiny_config
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

from redone.harness.models.batching import Batching, try_batching
from redone.harness.models.hf import PlainEngine
from redone.harness.models.intact import refuse_other_kinds
from redone.harness.models.output import Answer
from redone.harness.models.rows import Row, generator
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Request, Settings

NO_LANGUAGE_MODELS = {
    "bart", "bert", "bert-generation", "big_bird", "bigbird_pegasus", "blenderbot",
    "blenderbot-small", "camembert", "cpmant", "data2vec-text", "electra", "ernie", "marian",
    "mbart", "megatron-bert", "moshi", "musicgen", "musicgen_melody", "mvp", "pegasus", "plbart",
    "prophetnet", "reformer", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer",
    "trocr", "whisper", "xlm", "xlm-roberta", "xlm-roberta-xl", "xlnet", "xmod",
}  # fmt: skip
"""What looks ahead or needs an encoder; the tests below refuse them."""
PARTS = {
    "blt", "cohere_compass_text", "dots3_note", "dots3_note_text", "emu3", "fuyu", "gemma3",
    "gemma3n", "gemma4", "gemma4_assistant", "gemma4_unified", "gemma4_unified_assistant", "git",
    "got_ocr2", "llama4", "mllama", "moss_transcribe_diarize", "phi4_multimodal", "qwen3_5",
    "qwen3_5_moe", "qwen4_exp", "zamba", "zamba2",
}  # fmt: skip
"""Not made small here: most are a text model of this list with other senses around it."""
TRIED = sorted(set(CAUSAL) - NO_LANGUAGE_MODELS - PARTS)


def prompt(number, length):
    return [(number * 31 + i * i * 7 + i) % 250 for i in range(length)]


def rows(lengths, tokens=8, scored=0, **settings):
    made = []
    for number, length in enumerate(lengths):
        request = Request(f"s{number}", "", Settings(max_tokens=tokens, **settings), seed=number)
        ids = prompt(number, length)
        answer = None if scored else Answer(request.settings, lambda ids: "", frozenset())
        source = generator(number) if settings else None
        made.append(Row(request, ids, answer, scored, source))
    return made


def found(engine, made, batch_size):
    engine.batch_size = batch_size
    done = [*engine.generate([r for r in made if r.answer]), *engine.score(made)]
    tokens = {r.request.sample: r.answer.ids for r in done if r.answer}
    return tokens, {r.request.sample: r.logprob for r in done if not r.answer}


def assert_alike(engine, make):
    alone, alone_scores = found(engine, make(), 1)
    together, scores = found(engine, make(), 8)
    assert together == alone
    assert scores == pytest.approx(alone_scores, abs=1e-2)
    return alone


LENGTHS = (3, 40, 17, 17, 64, 5, 40, 29)


@pytest.mark.parametrize("kind", TRIED)
def test_eight_rows_are_answered_like_one(kind):
    engine = PlainEngine(tiny_network(tiny_architecture(kind)), 256, 8, "test")
    assert any(assert_alike(engine, lambda: rows(LENGTHS, 6)).values())
    assert_alike(engine, lambda: rows(LENGTHS, scored=2))


@pytest.mark.parametrize("kind", ["llama", "minimax", "rwkv", "qwen3_moe"])
def test_samples_are_drawn_alike_too(kind):
    engine = PlainEngine(tiny_network(tiny_architecture(kind)), 256, 8, "test")
    assert_alike(engine, lambda: rows(LENGTHS, 6, temperature=1.0))


@pytest.mark.parametrize(
    ("kind", "rule"),
    [("llama", "padded"), ("qwen3_moe", "padded"), ("minimax", "equal"), ("lfm2", "equal"),
     ("mamba2", "equal"), ("rwkv", "alone")],
)  # fmt: skip
def test_which_rows_share_a_batch(kind, rule):
    assert try_batching(tiny_network(tiny_architecture(kind)), 256).together == rule


def longrope(original):
    config = tiny_architecture("phi3")
    half = config.hidden_size // config.num_attention_heads // 2
    config.original_max_position_embeddings = original
    config.rope_parameters = {
        "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * half,
        "long_factor": [1.0 + 3 * i for i in range(half)],
        "original_max_position_embeddings": original,
    }  # fmt: skip
    return type(config)(**config.to_dict())


def dynamic(original, **more):
    config = tiny_config("llama")
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 8.0, **more}
    return type(config)(
        **config.to_dict() | {"rope_parameters": rope, "max_position_embeddings": original}
    )


ROPES = {"longrope": longrope, "dynamic": dynamic}


@pytest.mark.parametrize("kind", ROPES)
@pytest.mark.parametrize("lengths", [(10, 40, 60, 62, 70, 90, 90, 12), (50, 50, 58, 58, 64, 65)])
def test_frequencies_that_change_at_a_length_are_each_rows_own(kind, lengths):
    """The answers cross the original length of 64, those of some rows only."""
    engine = PlainEngine(tiny_network(ROPES[kind](64)), 256, 8, "test")
    assert_alike(engine, lambda: rows(lengths, 20))
    assert_alike(engine, lambda: rows(lengths, scored=5))


def test_the_model_does_see_the_longest_row(monkeypatch):
    """The test above proves something: with padded batches the answers differ."""
    engine = PlainEngine(tiny_network(longrope(64)), 256, 8, "test")
    engine._batching = Batching("padded")
    lengths = (10, 40, 60, 62, 70, 90)
    assert found(engine, rows(lengths, 20), 1) != found(engine, rows(lengths, 20), 8)


def test_rows_below_the_original_length_still_share_batches():
    engine = PlainEngine(tiny_network(longrope(64)), 256, 8, "test")
    rule = engine._batching
    assert (rule.together, rule.original, rule.remembers) == ("padded", 64, False)
    short = rows((40, 30), 20)
    assert rule.admits(short[:1], short[1])
    assert not rule.admits(rows((50,), 20), short[0])
    assert rule.admits(rows((90,), 20), rows((90,), 5)[0])


def test_a_longer_row_before_is_forgotten():
    """Dynamic frequencies grow with the longest text so far, earlier batches included."""
    engine = PlainEngine(tiny_network(dynamic(64)), 256, 1, "test")
    fresh, _ = found(engine, rows((70,), 10), 1)
    found(engine, rows((200,), 10), 1)
    assert found(engine, rows((70,), 10), 1)[0] == fresh


@pytest.mark.parametrize(
    "kind", sorted(NO_LANGUAGE_MODELS & {"bert", "roberta", "xlnet", "bert-generation", "bart"})
)
def test_what_looks_ahead_is_refused(kind):
    config = tiny_architecture(kind) if kind != "xlnet" else tiny_xlnet()
    with pytest.raises(RedoneError, match="model|causal") as told:
        refuse_other_kinds("m", config)
        try_batching(tiny_network(config), 256)
    assert len(str(told.value).splitlines()) == 1


def tiny_xlnet():
    from transformers import XLNetConfig

    return XLNetConfig(vocab_size=260, d_model=64, n_layer=2, n_head=4, d_inner=96)
