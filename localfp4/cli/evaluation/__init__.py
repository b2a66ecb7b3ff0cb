"""``localfp4 eval``: how good the answers of models are."""
