"""Families that models may be trained on; each item comes with a rationale."""
