"""The chat's backend: an engine process, the models on this computer, and its gauges; torch-free.

It satisfies the protocol of the chat without knowing the chat.
"""
