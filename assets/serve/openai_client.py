"""What the openai SDK does with a local model: a stream, a tool, an answer of a schema.

Start a server in one terminal, and run this in another:

    localfp4 serve demo
    pip install openai
    python assets/serve/openai_client.py [--base-url http://127.0.0.1:8000/v1]
"""

import argparse
import json
from collections.abc import Sequence
from typing import Annotated, Literal

from openai import OpenAI
from pydantic import BaseModel, Field, StringConstraints

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two whole numbers.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "minimum": 0, "maximum": 99},
                "b": {"type": "integer", "minimum": 0, "maximum": 99},
            },
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}


class Fox(BaseModel):
    """What the model is to tell of a fox."""

    name: Annotated[str, StringConstraints(pattern="^[A-Z][a-z]{1,9}$")]
    age: int = Field(ge=0, le=20)
    colour: Literal["red", "grey", "white"]
    friends: list[Annotated[str, StringConstraints(pattern="^[A-Z][a-z]{1,9}$")]] = Field(
        max_length=2
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask three times."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--api-key", default="none")
    options = parser.parse_args(arguments)
    client = OpenAI(base_url=options.base_url, api_key=options.api_key)
    model = client.models.list().data[0].id
    stream(client, model)
    call_a_tool(client, model)
    follow_a_schema(client, model)


def stream(client: OpenAI, model: str) -> None:
    """Print an answer while it comes."""
    print("--- stream")
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is NVFP4?"}],
        temperature=0,
        max_tokens=60,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in answer:
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
        if chunk.usage is not None:
            print(f"\n[{chunk.usage.prompt_tokens} + {chunk.usage.completion_tokens} tokens]")


def call_a_tool(client: OpenAI, model: str) -> None:
    """Have the model call a function, and read its arguments."""
    print("--- tool")
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is 12 + 30?"}],
        tools=[ADD],
        tool_choice="required",
        temperature=0,
        max_tokens=60,
    )
    (choice,) = answer.choices
    for call in choice.message.tool_calls or ():
        given = json.loads(call.function.arguments)
        print(f"{call.function.name}({given}) = {given['a'] + given['b']}")
    print(f"[{choice.finish_reason}]")


def follow_a_schema(client: OpenAI, model: str) -> None:
    """Have the model fill in an object, whatever it would have said."""
    print("--- json_schema")
    answer = client.chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": "Tell me a story about a fox."}],
        response_format=Fox,
        temperature=0,
        max_tokens=120,
    )
    print(repr(answer.choices[0].message.parsed))


if __name__ == "__main__":
    main()
