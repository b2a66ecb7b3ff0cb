"""Reports of evaluations, and reading them back; torch-free."""
