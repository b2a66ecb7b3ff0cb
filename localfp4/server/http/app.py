"""The application: all routes, behind the gates."""

from collections.abc import Sequence
from dataclasses import replace

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from localfp4.server.http.dialect import Dialect
from localfp4.server.http.gate import KeyGate, PlaceGate
from localfp4.server.http.health import health_routes
from localfp4.server.http.metrics import CountRequests, Metrics
from localfp4.server.http.models import model_routes
from localfp4.server.http.openapi import openapi_route
from localfp4.server.http.problems import Problems
from localfp4.server.http.tokens import token_routes
from localfp4.server.serving import Serving

_READABLE_HEADERS = ("retry-after", "x-should-retry")
"""Response headers that pages may read beside those which they always may."""


def make_app(serving: Serving, dialects: Sequence[Dialect]) -> Starlette:
    """Return the application that serves a model in some dialects.

    What fails under the paths of a dialect's routes is answered in its shape, and everything else
    in OpenAI's.
    """
    metrics = Metrics(serving.engine)
    serving = replace(serving, engine=metrics.engine)
    routes = [
        *health_routes(serving),
        *model_routes(serving),
        *token_routes(serving),
        *metrics.routes(),
    ]
    shapes = {}
    for dialect in dialects:
        spoken = dialect.routes(serving)
        shapes.update({route.path: dialect.error_body for route in spoken})
        routes += spoken
    routes.append(openapi_route(routes))

    settings = serving.settings
    problems = Problems(shapes, [route.path for route in routes])
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(CountRequests, metrics=metrics),
            Middleware(PlaceGate, settings=settings, problems=problems),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("*",),
                allow_private_network=True,
                expose_headers=_READABLE_HEADERS,
            ),
            Middleware(KeyGate, key=settings.api_key, problems=problems),
        ],
        exception_handlers=problems.handlers(),
    )
    app.router.redirect_slashes = False  # a redirect would lead to what Host says
    return app
