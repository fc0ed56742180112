"""The tasks: prompts, data and scorings. Imports no model and never torch."""
