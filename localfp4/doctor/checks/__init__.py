"""Pure functions from facts to findings, a file an area; nothing here asks the computer."""
