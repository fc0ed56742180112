"""The fast engine for CPUs: `engine.FastEngine` is its public class.

From the bottom up: `decoder` (a Llama-like forward pass), `attention` (over a shared prefix, and
prompts read behind one), `sharing` (which prompts begin alike), `batch` (rows that are decoded
together, and their keys and values), `engine` (queue, batches, log-likelihoods).
"""
