"""Families that models are judged by and never trained on."""
