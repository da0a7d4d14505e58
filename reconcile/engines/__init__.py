"""Ways to run the same counting: in this process, or on machines of others. What calls it differs, and no more."""
