"""The three stages: trainers as consumers of the harness."""
