"""Count on a Ray cluster."""
