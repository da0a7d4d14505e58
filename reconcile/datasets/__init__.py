"""Labelled photos, and synthetic bins for demos and training."""
