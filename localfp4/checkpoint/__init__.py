"""Checkpoints: from a model's name to checked tensors; knows formats, not architectures."""
