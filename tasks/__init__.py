"""The registry: what is asked and how answers are judged. Imports no model and never torch."""
