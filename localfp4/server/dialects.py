"""All that a server speaks."""

from localfp4.server.anthropic.errors import error_body as anthropic_error
from localfp4.server.anthropic.routes import routes as anthropic_routes
from localfp4.server.http.dialect import Dialect, openai_error
from localfp4.server.openai.routes import routes as openai_routes
from localfp4.server.responses.routes import routes as responses_routes

DIALECTS = (
    Dialect(openai_routes, openai_error),
    Dialect(responses_routes, openai_error),
    Dialect(anthropic_routes, anthropic_error),
)
"""OpenAI's chat completions and completions, its responses, and Anthropic's messages."""
