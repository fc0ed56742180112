"""What runs inside the sandbox, in a bare Python of its own: standard library only."""
