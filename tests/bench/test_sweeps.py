import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.bench.planning.sweeps import sweep_cases
from localfp4.bench.workload import Case
from localfp4.errors import UserError

BASE = Case(3, 500, 100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch", [Case(2**n, 500, 100) for n in range(7)]),
        ("batch@p=1024", [Case(2**n, 1024, 100) for n in range(7)]),
        ("input", [Case(3, 128 * 2**n, 100) for n in range(7)]),
        ("input=128..8192*2@b=16", [Case(16, 128 * 2**n, 100) for n in range(7)]),
        ("p=7,9@b=2,n=4,d=64", [Case(2, 7, 4, 64), Case(2, 9, 4, 64)]),
        ("output=8,16", [Case(3, 500, 8), Case(3, 500, 16)]),
        ("depth=0,4096@input=1,output=2", [Case(3, 1, 2, 0), Case(3, 1, 2, 4096)]),
        (" batch = 1,2 @ p = 8 ", [Case(1, 8, 100), Case(2, 8, 100)]),
    ],
)
def test_one_size_varies_and_the_others_stay(text: str, expected: list[Case]) -> None:
    assert list(sweep_cases(text, BASE)) == expected


sizes = st.integers(1, 10**6)


@settings(max_examples=40)
@given(st.lists(sizes, min_size=1, max_size=9, unique=True), sizes, sizes, st.integers(0, 99))
def test_a_sweep_says_what_it_says(values: list[int], held: int, output: int, pages: int) -> None:
    depth = 64 * pages
    text = f"batch={','.join(map(str, values))}@p={held},n={output},d={depth}"
    cases = sweep_cases(text, BASE)
    assert [case.batch for case in cases] == values
    assert {(case.input_tokens, case.output_tokens, case.depth) for case in cases} == {
        (held, output, depth)
    }


@settings(max_examples=40)
@given(st.text(max_size=30) | st.text("batchinputd=@,.*1 ", max_size=20))
def test_any_text_is_a_sweep_or_one_sentence(text: str) -> None:
    cases: tuple[Case, ...] = (BASE,)
    told = "."
    try:
        cases = sweep_cases(text, BASE)
    except UserError as error:
        told = str(error)
    assert told.isprintable()
    assert told.endswith((".", "?"))
    assert cases


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The sweep is empty; write a size that varies, as in batch@p=1024."),
        ("=", "'' in the sweep '=' is not batch, input, output or depth. Write one as in"),
        (
            "bach@p=1",
            "'bach' in the sweep 'bach@p=1' is not batch, input, output or depth. Did you",
        ),
        ("batch@q=1", "'q' in the sweep 'batch@q=1' is not batch"),
        ("output", "The sweep 'output' needs values; write them as in output=64..512*2."),
        ("depth@b=4", "needs values; write them as in depth="),
        ("batch=", "The list is empty"),
        ("batch=8..1", "'8..1' runs backwards; write 1..8."),
        ("batch@", "'' in the sweep 'batch@' holds nothing; write a size and its value"),
        ("batch@p", "'p' in the sweep 'batch@p' holds nothing"),
        ("batch@p=", "The list is empty"),
        ("batch@b=4", "The sweep 'batch@b=4' varies batch and holds it at once; leave 'b=4' out."),
        ("batch@p=1,input=2", "holds input twice; leave one out."),
        ("batch@p=1..8", "holds input at several values; write a sweep for each."),
        ("batch@p=1,2", "'2' in the sweep 'batch@p=1,2' holds nothing"),
        ("batch@p=1@n=2", "is neither a whole number nor a range"),
        ("depth=100", "A depth of 100 tokens is not whole pages of 64"),
        ("batch@d=32", "which is what the cache keeps; write 64."),
    ],
)
def test_what_is_no_sweep_is_told_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        sweep_cases(text, BASE)
    assert sentence in str(caught.value)
