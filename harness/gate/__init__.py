"""The regression gate: two runs and a policy turned into pass, regression or undecided."""
