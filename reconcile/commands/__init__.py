"""The commands: parse, call, print; no logic. One file for each kind of user."""
