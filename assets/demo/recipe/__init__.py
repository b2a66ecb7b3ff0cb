"""The recipe of the demo model: facts to conversations to tokens to weights to a checkpoint."""
