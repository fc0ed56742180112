"""Tiny random models with a byte-level tokenizer, made on the spot."""

from __future__ import annotations

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
    "{% if enable_thinking is defined and enable_thinking %}{{ '<think>\n' }}{% endif %}"
)
SPECIAL = ("<|end|>", "<|start|>")
MARKS = ("<think>", "</think>")


def tiny_tokenizer(template: str | None = CHAT_TEMPLATE):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False) for t in MARKS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>"
    )
    fast.chat_template = template
    return fast


def tiny_config(kind: str):
    import transformers as t

    sizes = dict(
        vocab_size=260, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        initializer_range=0.25, eos_token_id=256, bos_token_id=None, pad_token_id=256,
    )  # fmt: skip
    match kind:
        case "llama":
            return t.LlamaConfig(**sizes)
        case "llama3-rope":
            rope = {
                "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }  # fmt: skip
            return t.LlamaConfig(**sizes, rope_parameters=rope, mlp_bias=True, attention_bias=True)
        case "mistral":
            return t.MistralConfig(**sizes, sliding_window=None, head_dim=16)
        case "qwen2":
            return t.Qwen2Config(**sizes, tie_word_embeddings=True)
        case "qwen3":
            return t.Qwen3Config(**sizes, head_dim=16)
        case "qwen3-moe":
            experts = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
            return t.Qwen3MoeConfig(**sizes, **experts, head_dim=16, output_router_logits=True)
        case "sliding":
            return t.MistralConfig(**sizes, sliding_window=16)
        case "gpt2":
            return t.GPT2Config(
                vocab_size=260, n_embd=32, n_layer=2, n_head=4, n_positions=512,
                initializer_range=0.25, eos_token_id=256, bos_token_id=256,
            )  # fmt: skip
    raise ValueError(kind)
