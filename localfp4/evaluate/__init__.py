"""How good the answers of a model are: against text, against its original, on tasks."""
