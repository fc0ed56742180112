"""The `sandbox` service: untrusted programs, judged by tests that they cannot touch."""
