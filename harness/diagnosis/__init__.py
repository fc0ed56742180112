"""A run turned into ranked weaknesses: what to train next, and how to reward it."""
