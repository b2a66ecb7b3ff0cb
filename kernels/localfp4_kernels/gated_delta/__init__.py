"""Gated DeltaNet, the linear attention of Qwen3.5 and later."""
