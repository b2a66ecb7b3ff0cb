"""Going through a run: whose turn it is, and the record that survives whatever happens; torch-free."""
