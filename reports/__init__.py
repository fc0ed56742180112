"""Finished runs compared on one page: the seesaw, the tasks, the examples."""
