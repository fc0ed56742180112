"""The engines that answer requests, by the name of the backend."""

BACKENDS = ("hf", "vllm", "endpoint", "scripted")
