"""The recounts of people: import, queries and outcomes."""
