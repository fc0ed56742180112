"""Stages of training on TRL: reinforcement learning, fine-tuning, preferences."""
