"""A server in a process of its own: signals end processes."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from localfp4.config import EngineConfig
from localfp4.engine.protocol import LOADER
from localfp4.errors import UserError
from localfp4.messages import Delta, LoadProgress, ModelInfo, Request
from localfp4.server.dialects import DIALECTS
from localfp4.server.errors import ApiError
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.http.dialect import Dialect, openai_error
from localfp4.server.http.exchange import event_stream
from localfp4.server.http.run import Ending, HttpServer, Listening
from localfp4.server.serving import Serving
from localfp4.server.settings import ServerSettings


def plain_dialect(serving: Serving) -> Sequence[ApiRoute]:
    async def chunks(request: Request) -> AsyncGenerator[bytes, None]:
        async with serving.engine.answering([request]) as arrivals:
            async for arrived in arrivals:
                for _, event in arrived:
                    if isinstance(event, Delta):
                        yield b"data: %s\n\n" % event.text.encode()

    async def ask(http: HttpRequest) -> Response:
        request = Request(http.query_params["id"], prompt=http.query_params["prompt"])
        return event_stream(http, chunks(request), error_chunk)

    return [ApiRoute("/ask", ask, method="GET", summary="Ask", streams=True)]


def error_chunk(error: ApiError) -> bytes:
    return f"data: error {error.message}\n\n".encode()


async def main(model: str, drain_s: float, *, is_real: bool) -> None:
    """Say on standard output what happens, a line each."""
    server = HttpServer(
        EngineConfig(model, threads=1),
        ServerSettings(port=0, drain_s=drain_s, timeout_s=20),
        DIALECTS if is_real else [Dialect(plain_dialect, openai_error)],
        loader=LOADER if is_real else "fake_engine:load_engine",
    )
    is_loading = False
    async with aclosing(server.run()) as happenings:
        async for one in happenings:
            match one:
                case Listening(url):
                    print(url, flush=True)
                case LoadProgress() if not is_loading:
                    is_loading = True
                    print("loading", flush=True)
                case ModelInfo():
                    print("ready", flush=True)
                case Ending():
                    print("ending", flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], float(sys.argv[2]), is_real=sys.argv[3:] == ["real"]))
    except UserError as error:
        print(error, flush=True)
        sys.exit(2)
