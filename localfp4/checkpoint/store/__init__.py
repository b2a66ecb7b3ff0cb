"""Models in the cache of the hub: fetched, checked, listed and removed; torch-free."""
