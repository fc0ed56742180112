"""The rows to learn from: their sources, and how they are chosen."""
