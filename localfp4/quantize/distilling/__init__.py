"""Quantisation-aware distillation: rounded weights learn to answer like the original (arXiv:2601.20088)."""
