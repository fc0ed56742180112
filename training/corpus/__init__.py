"""What is learnt from: rows, where they come from, and how they are chosen."""
