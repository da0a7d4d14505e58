"""How good a count model and its recount queue are."""
