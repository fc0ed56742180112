"""SNS-Bench (ICML 2025), one file a category."""
