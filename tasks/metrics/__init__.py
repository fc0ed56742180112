"""Metrics as functions of summed statistics."""
