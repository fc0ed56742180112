"""General abilities: the benchmarks that lm-eval defines, through our backends; and native ones."""
