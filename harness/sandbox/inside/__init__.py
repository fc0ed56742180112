"""What runs inside the sandbox, in a separate, bare Python: standard library only."""
