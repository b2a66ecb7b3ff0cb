"""OpenAI's responses, without the state that they may have."""
