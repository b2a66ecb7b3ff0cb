"""Secrets that must not be found in a log, and what must stay readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localfp4.logs import redacted, secrets_in

SECRET = "S3cr3tS3cr3tS3cr3t"

LEAKS = [
    f"token hf_{SECRET} is wrong",
    f"Authorization: Bearer {SECRET}",
    f"{{'authorization': 'Bearer hf_{SECRET}'}}",
    f'{{"Authorization": "Basic {SECRET}="}}',
    f"Proxy-Authorization: Basic {SECRET}",
    f"[(b'x-api-key', b'{SECRET}')]",
    f"x-api-key: {SECRET}",
    f"Cookie: {SECRET}; path=/",
    f"api_key='{SECRET}'",
    f'"access_token": "{SECRET}"',
    f"HF_TOKEN={SECRET}",
    f"OPENAI_API_KEY={SECRET}",
    f"LOCALFP4_API_KEY: {SECRET}",
    f"password={SECRET}",
    f"sk-proj-{SECRET}",
    f"ghp_{SECRET}",
    f"eyJhbGciOi{SECRET}.eyJzdWIi.{SECRET}",
    f"serve --api-key {SECRET} --port 1",
    f"serve --api-key={SECRET}",
    f"['serve', '--api-key', '{SECRET}']",
    f"http://user:{SECRET}@proxy:3128/x",
    f"http://{SECRET}@proxy",
    f"GET https://cdn.hub/a?X-Amz-Signature={SECRET}&x=1",
    f"https://cdn.hub/b?Policy=x&Signature={SECRET}~__&Key-Pair-Id=K",
    f"https://xet.hub/c#access_token={SECRET}",
    f"HTTPS://cdn.hub/a?{SECRET}",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_secret_is_hidden(text: str) -> None:
    hidden = redacted(text)
    assert SECRET not in hidden
    assert "…" in hidden
    assert redacted(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "kv_bytes_per_token=6144, kv_cache_tokens=65536",
        "first token after 0.275 s, answer 29 tokens in 7.101 s",
        "GET https://huggingface.co/api/models/nvidia/Qwen3-8B-NVFP4 HTTP/1.1",
        "keys: {'model.layers.0.key': 1}",
        "Loading /home/me/models/sk-1: 12.5 GB, max_tokens: 4096",
        "tokenizer: 151936 tokens; the key projection",
        "",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert redacted(text) == text


def test_what_variables_hold_is_hidden_wherever_it_stands() -> None:
    secrets = secrets_in(
        {
            "HF_TOKEN": SECRET,
            "MY_SERVICE_KEY": f"{SECRET}-longer",
            "HTTPS_PROXY": "http://me:pass-word@proxy:3128",
            "SHORT_TOKEN": "abc",
            "PATH": "/usr/bin",
        }
    )
    assert secrets == (f"{SECRET}-longer", SECRET, "pass-word")
    assert redacted(f"abc /usr/bin {SECRET}-longer, {SECRET}", secrets) == "abc /usr/bin …, …"


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_token_is_hidden_in_any_surroundings(before: str, after: str) -> None:
    assert SECRET not in redacted(f"{before} hf_{SECRET} {after}")


def test_long_lines_take_linear_time() -> None:
    for text in ("a" * 200_000, "token" * 40_000, "://" * 60_000, "'" * 100_000, "a_" * 100_000):
        redacted(text)
