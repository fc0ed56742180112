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
