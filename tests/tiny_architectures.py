"""A tiny configuration of each architecture that transformers can load as a causal model."""

from __future__ import annotations

SIZES = {
    "vocab_size": 260, "hidden_size": 64, "d_model": 64, "n_embd": 64, "dim": 64,
    "word_embed_proj_dim": 64, "embedding_size": 64, "model_dim": 64, "emb_dim": 64,
    "hidden_dim": 64, "embed_dim": 64,
    "intermediate_size": 96, "ffn_dim": 96, "n_inner": 96, "decoder_ffn_dim": 96,
    "encoder_ffn_dim": 96, "dff": 96, "d_inner": 96, "dim_ff": 96, "ffn_hidden_size": 96,
    "ffn_intermediate_size": 96, "shared_intermediate_size": 96, "shared_expert_intermediate_size": 48,
    "moe_intermediate_size": 48, "intermediate_size_mlp": 96, "expert_intermediate_size": 48,
    "num_hidden_layers": 4, "n_layer": 4, "n_layers": 4, "num_layers": 4, "decoder_layers": 2,
    "encoder_layers": 2, "num_decoder_layers": 2,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "num_attn_heads": 4,
    "decoder_attention_heads": 4, "encoder_attention_heads": 4, "attention_heads": 4,
    "num_key_value_heads": 2, "num_kv_heads": 2, "head_dim": 16, "attention_head_size": 16,
    "kv_channels": 16, "d_kv": 16,
    "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4,
    "num_experts_per_tok": 2, "num_experts_per_token": 2, "moe_topk": 2, "moe_k": 2, "n_group": 1, "topk_group": 1,
    "n_shared_experts": 1, "num_shared_experts": 1, "first_k_dense_replace": 1,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 16, "qk_nope_head_dim": 16,
    "v_head_dim": 16, "qk_head_dim": 32, "o_lora_rank": 16, "index_head_dim": 16, "index_n_heads": 2, "index_topk": 512,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
    "linear_value_head_dim": 16, "mamba_d_head": 16, "mamba_n_heads": 8, "mamba_d_state": 8,
    "mamba_num_heads": 8, "mamba_head_dim": 16, "mamba_d_ssm": 128, "state_size": 8, "time_step_rank": 8,
    "mamba_dt_rank": 8, "ssm_state_size": 8, "mamba_expand": 2, "mamba_n_groups": 1, "n_groups": 1, "mamba_ngroups": 1, "n_mamba_heads": 2,
    "lru_width": 64, "sliding_window": 32, "attention_window_size": 32, "attention_chunk_size": 32, "max_position_embeddings": 512, "n_positions": 512, "n_ctx": 512,
    "max_sequence_length": 512, "max_seq_len": 512,
    "initializer_range": 0.25, "init_std": 0.25, "pad_token_id": 256, "eos_token_id": 256, "bos_token_id": 256,
}  # fmt: skip

LATENT = {"num_key_value_heads": 4}  # latent attention (DeepSeek's) has as many as queries
OTHER_SIZES = {
    **dict.fromkeys(
        ("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite",
         "glm_moe_dsa", "minicpm3", "youtu", "solar_open", "longcat_flash"), LATENT),
    **dict.fromkeys(("codegen", "gptj"), {"rotary_dim": 8}),
    "bailing_hybrid": LATENT | {"layer_group_size": 2, "v_head_dim": 16},
    "bamba": {"attn_layer_indices": [1, 3]},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
             "ffn_config": {"hidden_size": 64, "ffn_hidden_size": 96, "moe_num_experts": 4}},
    "falcon": {"head_dim": None},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "num_hidden_layers": None,
                "window_size": 32},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": LATENT | {"layer_types": ["linear_attention", "full_attention"] * 2,
                             "linear_head_dim": 16, "linear_num_heads": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8, "head_dim": 16, "state_size": 8},
    "xlstm": {"v_head_dim": None, "qk_head_dim": None, "head_dim": None, "qk_dim_factor": 1.0},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 32},
    "qwen4_exp_text": {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16,
                       "indexer_budget": 64, "indexer_compress_ratio": 4, "hc_lowrank": 8},
    "gemma4_text": {"head_dim": 16, "hidden_size_per_layer_input": 16,
                    "vocab_size_per_layer_input": 260, "global_head_dim": 16},
    "gemma4_unified_text": {"head_dim": 16, "global_head_dim": 16},
    "gemma3n_text": {"num_kv_shared_layers": 0, "hidden_size_per_layer_input": 16,
                     "vocab_size_per_layer_input": 260, "laurel_rank": 8,
                     "activation_sparsity_pattern": [0.0] * 4},
}  # fmt: skip


def tiny_architecture(kind: str):
    """The configuration of a model type, with every size small that it has."""
    import inspect

    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    cls = CONFIG_MAPPING[kind]
    usual, fields = cls(), {*inspect.signature(cls.__init__).parameters, *cls.__annotations__}
    sizes = SIZES | OTHER_SIZES.get(kind, {})

    def has(name):
        try:
            return isinstance(getattr(usual, name, None), int | float)
        except Exception:  # some differ by layer
            return True

    chosen = {
        n: v for n, v in sizes.items() if n in fields or n in OTHER_SIZES.get(kind, {}) or has(n)
    }
    return cls(**{n: v for n, v in chosen.items() if v is not None})


def tiny_network(config, seed: int = 3):
    """A random model of a configuration, in evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # biases and norms at their initial 0 and 1 would hide mistakes
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                weight.add_(torch.randn_like(weight) * 0.2)
    return model
