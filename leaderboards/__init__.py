"""Published figures and our own runs, side by side."""
