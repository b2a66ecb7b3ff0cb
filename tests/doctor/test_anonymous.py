"""Who a report must not name."""

import pytest

from localfp4.doctor.anonymous import Person, anonymous

JANE = Person("/home/jane", "jane")
JANE_OF_WINDOWS = Person(r"C:\Users\Jane Doe", "Jane Doe")


@pytest.mark.parametrize(
    ("text", "person", "expected"),
    [
        ("/home/jane/.cache/huggingface", JANE, "~/.cache/huggingface"),
        ("cannot read /home/jane", JANE, "cannot read ~"),
        ("/home/janet/models", JANE, "~/models"),
        ("/mnt/c/Users/Jane Doe/models", JANE, "~/models"),
        ("/mnt/c/Users/Jane Doe", JANE, "~"),
        ("/media/jane/disk", JANE, "/media/USER/disk"),
        (r"C:\Users\Jane Doe\AppData\Local", JANE_OF_WINDOWS, r"~\AppData\Local"),
        ("c:/users/jane doe/models", JANE_OF_WINDOWS, "~/models"),
        (r"D:\Jane Doe\models", JANE_OF_WINDOWS, r"D:\USER\models"),
        ("/Users/jane/Library", Person("/Users/jane", "jane"), "~/Library"),
        ("/srv/home-of-jane", JANE, "/srv/home-of-jane"),
        ("a janet is no jane", JANE, "a janet is no jane"),
        ("/root/.triton/cache", Person("/root", "root"), "/root/.triton/cache"),
        ("/usr/bin/gcc", Person("/", ""), "/usr/bin/gcc"),
    ],
)
def test_text(text: str, person: Person, expected: str) -> None:
    assert anonymous(text, person) == expected


def test_values_keep_their_shape() -> None:
    value = {"rows": [{"folder": "/home/jane/x", "models": 2}], "gaps": ("/home/jane",), "no": None}
    expected = {"rows": [{"folder": "~/x", "models": 2}], "gaps": ["~"], "no": None}
    assert anonymous(value, JANE) == expected
