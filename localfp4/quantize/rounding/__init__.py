"""From a matrix and what is known of its inputs to 4-bit codes; tensors in, tensors out."""
