"""What a run will be, before anything is loaded: cells, series, what fits; torch-free."""
