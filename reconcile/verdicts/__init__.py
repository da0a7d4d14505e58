"""What people found in recounts: import, queries and outcomes."""
