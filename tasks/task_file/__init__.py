"""Tasks of one's own: a TOML file beside a data file (docs/own-tasks.md)."""
