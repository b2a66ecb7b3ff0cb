"""From scheduled work to tensors, logits and token ids."""
