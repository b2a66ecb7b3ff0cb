"""Text in and out of a model: tokenizer, chat template, streaming; free of torch."""
