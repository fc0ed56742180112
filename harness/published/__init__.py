"""Figures published in papers, each entered once: diagnosis, reports and leaderboards read them."""
