"""A model over HTTP: OpenAI's and Anthropic's dialects on one engine process.

Needs the extra ``serve``. Knows the engine through :class:`localfp4.server.engine.ServedEngine`.
"""
