"""The chat with a server in the place of an engine: what is shown, and what is not known."""

from contextlib import closing
from typing import cast

from localfp4.backend.remote import RemoteBackend
from localfp4.remote.address import parse_address
from tests.bench.fake_server import DONE, Body, FakeServer, Reply, delta, serving, usage
from tests.tui.fakes import FakeBackend
from tests.tui.harness import chatting, in_event_loop

MODELS = Reply(body={"data": [{"id": "small", "owned_by": "vllm"}, {"id": "large"}]})


def counting(path: str, body: Body) -> Reply:
    """Answer with the name of the model, and count no tokens."""
    if path.endswith("/tokenize"):
        return Reply(404)
    over = delta()
    over["choices"][0]["finish_reason"] = "stop"
    said = delta(content=f"I am {body['model']}.")
    return Reply(events=[said, over, usage(4321, 5), DONE])


def backend_of(fake: FakeServer) -> RemoteBackend:
    return RemoteBackend(parse_address(fake.url), model="small")


@in_event_loop
async def test_the_server_is_named_where_the_memory_would_be() -> None:
    with serving(counting, MODELS) as fake, closing(backend_of(fake)) as backend:
        async with chatting(cast(FakeBackend, backend), model="small", size=(100, 30)) as chat:
            place = fake.url.removeprefix("http://")
            await chat.sees(f"small is ready, served by vLLM 0.33.0 at {place}")
            await chat.until(lambda: chat.device.strip() == f"vLLM 0.33.0 at {place}")
            assert "parameters" not in chat.text
            await chat.send("Who are you?")
            await chat.sees("I am small.", "idle")
            # The server tells the length of the prompt in the end.
            await chat.until(lambda: chat.screen.session.context_tokens == 4326)
            await chat.until(lambda: "ctx 4.3k │" in chat.status)


@in_event_loop
async def test_another_model_of_the_server_is_chosen_and_what_is_not_known_is_said() -> None:
    with serving(counting, MODELS) as fake, closing(backend_of(fake)) as backend:
        async with chatting(cast(FakeBackend, backend), model="small", size=(100, 30)) as chat:
            await chat.press("ctrl+o")
            await chat.sees("large", "served", "Enter asks for its answers", "choose · ")
            assert "download" not in chat.text
            await chat.press(*"org/name")
            await chat.sees("The server lists no such model.")
            await chat.press(*["backspace"] * len("org/name"))
            await chat.sees("large")
            await chat.press("down", "enter")
            await chat.sees("large is ready")
            for command, words in [
                ("/context", "does not tell how long the context is"),
                ("/fit", "decides by itself what fits"),
            ]:
                await chat.send(command)
                await chat.sees(words)
                await chat.press("escape")
            await chat.send("/bench")
            await chat.sees("localfp4 bench --base-url")
            await chat.send("Who are you?")
            await chat.sees("I am large.", "idle")
