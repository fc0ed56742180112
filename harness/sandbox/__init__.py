"""The sandbox service: untrusted programs, graded by tests that they cannot touch."""
