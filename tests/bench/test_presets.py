from localfp4.bench.engines.depth import whole_pages
from localfp4.bench.planning.presets import PRESETS
from localfp4.bench.workload import Case


def test_the_study_is_both_sweeps_and_their_crossing_once() -> None:
    study = PRESETS["study"]
    by_batch = [Case(batch, 1024, 128) for batch in (1, 2, 4, 8, 16, 32, 64)]
    by_input = [Case(16, tokens, 128) for tokens in (128, 256, 512, 2048, 4096, 8192)]
    assert list(study.cases) == by_batch + by_input
    assert study.formats == ("bf16", "w4a16", "w4a8", "w4a4")


def test_the_table_of_adallm() -> None:
    preset = PRESETS["adallm"]
    assert [case.batch for case in preset.cases] == [1, 2, 4, 8, 16]
    assert {case.output_tokens for case in preset.cases} == {128}
    assert preset.report == "adallm"


def test_quick_fits_the_demo_and_still_fills_both_columns_of_the_figure() -> None:
    quick = PRESETS["quick"]
    assert max(case.length for case in quick.cases) <= 1024
    assert sum(case.kv_tokens * 2 for case in quick.cases) < 50_000, "minutes on a CPU"
    for fixed in ("input_tokens", "batch"):
        shared = [getattr(case, fixed) for case in quick.cases]
        assert max(shared.count(value) for value in shared) >= 4


def test_presets_are_sound() -> None:
    for preset in PRESETS.values():
        assert len(set(preset.cases)) == len(preset.cases)
        assert whole_pages([case.depth for case in preset.cases])
        assert preset.repeats >= 1
        assert preset.help
