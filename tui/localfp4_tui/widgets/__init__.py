"""The widgets of the chat: one a file, its style sheet beside it; none knows the engine."""
