"""The embedded data of `sns-mini`, one JSONL file a task."""
