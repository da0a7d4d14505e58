"""What the README's figures about speed come from. Run with `make bench`."""
