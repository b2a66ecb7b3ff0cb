"""A real server in a thread of its own, since clients in the process itself never disconnect."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from localfp4.server.http.listening import listen, url_of
from localfp4.server.settings import ServerSettings

PROMPTLY_S = 20.0


@contextmanager
def served(make_app: Callable[[], ASGIApp]) -> Iterator[str]:
    """Serve an application that is made on the loop of the server; yields its URL."""
    with listen(ServerSettings(port=0)) as listener:
        ready = threading.Event()
        servers: list[uvicorn.Server] = []

        async def live() -> None:
            config = uvicorn.Config(
                make_app(), http="h11", ws="none", lifespan="off", log_config=None
            )
            servers.append(uvicorn.Server(config))
            serving = asyncio.create_task(servers[0].serve([listener]))
            while not servers[0].started:
                await asyncio.sleep(0.01)
            ready.set()
            await serving

        thread = threading.Thread(target=asyncio.run, args=(live(),))
        thread.start()
        try:
            assert ready.wait(PROMPTLY_S)
            yield url_of(listener)
        finally:
            servers[0].should_exit = True
            thread.join(PROMPTLY_S)
