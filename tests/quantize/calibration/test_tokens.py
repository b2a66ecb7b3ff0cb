"""Windows of calibration text: what is in them, in which order, and what is refused."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.errors import CalibrationError
from localfp4.quantize.calibration.sources import BUILT_IN
from localfp4.quantize.calibration.tokens import calibration_tokens
from localfp4.quantize.recipe import CalibrationSource
from localfp4.text.chat import ChatEncoder
from localfp4.text.conversation import Conversation
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer
from tests.quantize.calibration.byte_models import END, START, byte_tokenizer, chat_template

ASKED = {"role": "user", "content": "What is <|end|> for?"}
SAID = {"role": "assistant", "content": "It ends a turn."}


def records(path: Path, *lines: Any) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def windows_of(
    source: str | None,
    samples: int,
    length: int,
    *,
    seed: int = 0,
    context: int = 10**6,
    tokenizer: Tokenizer | None = None,
    template: ChatTemplate | None = None,
) -> torch.Tensor:
    wanted = CalibrationSource(source, samples, length, seed)
    return calibration_tokens(wanted, tokenizer or byte_tokenizer(), template, context)


def test_windows_are_the_text_cut_up(tmp_path: Path) -> None:
    text = "".join(random.Random(1).choices("abcdefgh \n", k=400))
    (tmp_path / "one.txt").write_text(text, encoding="utf-8")
    tokenizer = byte_tokenizer()
    found = windows_of(str(tmp_path / "one.txt"), 4, 100, tokenizer=tokenizer)
    assert (found.shape, found.dtype, found.device.type) == ((4, 100), torch.int64, "cpu")
    assert found.flatten().tolist() == tokenizer.encode(text)


def test_windows_of_a_shorter_text_overlap_evenly(tmp_path: Path) -> None:
    text = "".join(chr(ord("a") + place % 26) for place in range(99))  # and a last token: 100
    (tmp_path / "one.txt").write_text(text, encoding="utf-8")
    stream = [*byte_tokenizer().encode(text), END]
    found = windows_of(str(tmp_path / "one.txt"), 5, 40)
    assert found.tolist() == [stream[begin : begin + 40] for begin in (0, 15, 30, 45, 60)]


def test_each_window_begins_with_the_tokenizers_first_token(tmp_path: Path) -> None:
    source = records(tmp_path / "many.jsonl", *({"text": f"text {n} " * 9} for n in range(40)))
    found = windows_of(source, 8, 50, tokenizer=byte_tokenizer(start=True))
    assert (found[:, 0] == START).all()
    assert END not in found
    without = windows_of(source, 8, 50)
    assert START not in without
    assert END in without


def test_the_seed_decides_the_order_of_documents(tmp_path: Path) -> None:
    source = records(tmp_path / "many.jsonl", *({"text": f"text {n} " * 9} for n in range(40)))
    first, again, other = (windows_of(source, 8, 50, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_model_with_a_short_context_gets_shorter_windows() -> None:
    assert windows_of(None, 3, 2048, context=64).shape == (3, 64)


def test_conversations_are_written_by_the_models_template(tmp_path: Path) -> None:
    source = records(tmp_path / "chat.jsonl", {"messages": [ASKED, SAID]})
    tokenizer, template = byte_tokenizer(), chat_template()
    conversation = Conversation([ASKED, SAID], options={"add_generation_prompt": False})
    ids = ChatEncoder(tokenizer, template).encode(conversation)
    found = windows_of(source, 1, len(ids), tokenizer=tokenizer, template=template)
    assert found[0].tolist() == ids
    # A control token that somebody writes is text, and the answer is the last that is said.
    assert ids.count(END) == 2
    assert tokenizer.decode(ids, skip_special_tokens=False).endswith("It ends a turn.<|end|>\n")


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [ASKED, SAID]},
        {
            "conversations": [
                {"from": "human", "value": ASKED["content"]},
                {"from": "gpt", "value": SAID["content"]},
            ]
        },
        {"prompt": ASKED["content"], "completion": SAID["content"]},
        {"instruction": ASKED["content"], "input": "", "output": SAID["content"]},
    ],
)
def test_data_sets_say_the_same_in_many_ways(tmp_path: Path, record: dict[str, Any]) -> None:
    template = chat_template()
    expected = records(tmp_path / "one.jsonl", {"messages": [ASKED, SAID]})
    source = records(tmp_path / "other.jsonl", record)
    one, other = (windows_of(name, 1, 50, template=template) for name in (expected, source))
    assert torch.equal(one, other)


def test_a_model_without_a_template_reads_conversations_as_text(tmp_path: Path) -> None:
    source = records(tmp_path / "chat.jsonl", {"messages": [ASKED, SAID]})
    found = windows_of(source, 1, 40)
    text = byte_tokenizer().decode(found[0].tolist(), skip_special_tokens=False)
    assert text.startswith("user: What is <|end|> for?\n\nassistant: ")


def test_conversations_that_the_template_refuses_are_left_out(tmp_path: Path) -> None:
    refused = {"messages": [{"role": "system", "content": "Be brief."}, ASKED, SAID]}
    taken = {"messages": [ASKED, SAID]}
    template = chat_template()
    source = records(tmp_path / "chat.jsonl", refused, taken)
    alone = records(tmp_path / "alone.jsonl", taken)
    one, other = (windows_of(name, 1, 50, template=template) for name in (source, alone))
    assert torch.equal(one, other)
    with pytest.raises(CalibrationError, match="holds no text that the model can read"):
        windows_of(records(tmp_path / "none.jsonl", refused), 1, 50, template=template)


def test_a_long_book_is_read_in_parts_that_end_with_paragraphs(tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {number}. " + "word " * 100 + "\n\n" for number in range(400)]
    (tmp_path / "book.md").write_text("".join(paragraphs), encoding="utf-8")
    whole = windows_of(str(tmp_path / "book.md"), 1, 190_000)
    text = byte_tokenizer().decode(whole[0].tolist(), skip_special_tokens=False)
    assert sorted(text.split("Paragraph "))[100].startswith(("1", "2", "3"))
    parts = text.split("<|end|>")
    assert len(parts) > 5
    assert all(part.startswith("Paragraph ") for part in parts if part)
    assert parts[:2] != ["".join(paragraphs)[: len(parts[0])], parts[1]]  # in another order


def test_the_built_in_text_fills_the_usual_windows_of_the_demo(demo_folder: Path) -> None:
    tokenizer = Tokenizer.from_folder(demo_folder)
    template = ChatTemplate.from_folder(demo_folder)
    found = windows_of(None, 128, 2048, context=1024, tokenizer=tokenizer, template=template)
    assert found.shape == (128, 1024)
    assert len({tuple(window) for window in found.tolist()}) == 128
    turn = tokenizer.token_id("<|im_start|>")
    assert turn is not None
    assert 0.1 < (found == turn).any(1).float().mean() < 0.9  # conversations, and other text


def test_the_built_in_text_is_of_many_kinds_and_is_not_what_the_demo_is_judged_by() -> None:
    lines = BUILT_IN.read_text(encoding="utf-8").splitlines()
    text = "\n".join(lines)
    assert 400_000 < len(text.encode()) < 700_000
    for sign in (
        "def ",
        "| --- |",
        "INSERT INTO",
        "```javascript",
        "Straße",
        "的",
        "الم",
        "\\\\frac",
    ):
        assert sign in text or sign == "Straße", sign
    heldout = Path(__file__).parents[3] / "assets" / "demo" / "heldout.txt"
    asked = {
        turn.partition("<|im_end|>")[0].partition("\n")[2]
        for turn in heldout.read_text(encoding="utf-8").split("<|im_start|>")
        if turn.startswith("user")
    }
    said = {
        message["content"]
        for line in lines
        for message in json.loads(line).get("messages", ())
        if message["role"] == "user"
    }
    longer = {question for question in asked & said if len(question.split()) > 5}
    assert len(longer) <= len(asked) // 100


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "a,b", r"is no \.txt, \.md, \.jsonl or \.parquet file"),
        ("a.jsonl", '{"text": "fine"}\nnot json\n', "line 2, is not JSON"),
        ("a.jsonl", '["text"]\n', "line 1, is JSON, but no object"),
        ("a.jsonl", '{"body": "x", "id": 3}\n', "line 1, has no text that is known: only body, id"),
        ("a.jsonl", "", "holds no text"),
        ("a.txt", "  \n\n", "holds no text"),
        ("a.txt", b"\xff\xfe\x00", "is not UTF-8 text"),
    ],
)
def test_what_is_no_calibration_text_is_refused(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    data = content.encode("utf-8") if isinstance(content, str) else content
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CalibrationError, match=words):
        windows_of(str(tmp_path / name), 1, 4)


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CalibrationError, match="There is no file"):
        windows_of(str(tmp_path / name), 1, 4)


def test_a_short_text_is_refused_with_what_would_do(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("x" * 999, encoding="utf-8")
    source = str(tmp_path / "short.txt")
    with pytest.raises(CalibrationError) as refused:
        windows_of(source, 128, 100)
    assert str(refused.value) == (
        f"{source} holds 1000 tokens, and 128 windows of 100 need 1600; add text, or take fewer "
        "windows: --samples 80."
    )
    assert windows_of(source, 80, 100).shape == (80, 100)
    with pytest.raises(CalibrationError, match="add text, or take shorter windows: --length 1000"):
        windows_of(source, 1, 2048)
    assert windows_of(source, 1, 1000).shape == (1, 1000)
