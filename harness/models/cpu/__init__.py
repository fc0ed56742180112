"""The fast engine for CPUs: `engine.FastEngine` is its public class.

From the bottom up: `attention` (over a shared prefix), `decoder` (a Llama-like forward pass),
`sharing` (which prompts begin alike), `prefill` (prompts through the decoder), `batch` (rows that
are decoded together, and their keys and values), `engine` (queue, batches, log-likelihoods).
"""
