"""Finished runs as a page that people look at: the seesaw, the tasks, the examples."""
