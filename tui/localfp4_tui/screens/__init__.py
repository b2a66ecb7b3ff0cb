"""The screens of the chat: thin, they pass messages between widgets and the engine."""
