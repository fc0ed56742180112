"""The leaderboard: published and measured scores side by side."""
