"""An evaluation worked out by hand: three formats of a model, a text and two tasks."""

from localfp4.evaluate.records import Evaluation, Items, Result, Subject

MODEL = "Qwen/Qwen3-8B"
REFERENCE = Subject(MODEL, "bf16")

_TEXT: dict[str, dict[str, tuple[float, float | None]]] = {
    "bf16": {"perplexity": (9.724, 0.066)},
    "w4a16": {
        "perplexity": (9.961, 0.068),
        "perplexity_ratio": (1.0244, 0.0021),
        "kl_divergence_mean": (0.0411, 0.0009),
        "kl_divergence_median": (0.0152, None),
        "kl_divergence_p90": (0.1019, None),
        "kl_divergence_p95": (0.1702, None),
        "kl_divergence_p99": (0.4411, None),
        "kl_divergence_p99_9": (1.312, None),
        "kl_divergence_max": (4.91, None),
        "top_1_agreement": (0.9213, 0.0021),
        "delta_p_mean": (-0.0061, 0.0006),
        "delta_p_rms": (0.0582, 0.0011),
    },
    "w4a4": {
        "perplexity": (10.372, 0.071),
        "perplexity_ratio": (1.0666, 0.0031),
        "kl_divergence_mean": (0.1031, 0.0017),
        "kl_divergence_median": (0.0451, None),
        "kl_divergence_p90": (0.2611, None),
        "kl_divergence_p95": (0.4199, None),
        "kl_divergence_p99": (1.0313, None),
        "kl_divergence_p99_9": (2.914, None),
        "kl_divergence_max": (7.77, None),
        "top_1_agreement": (0.8721, 0.0027),
        "delta_p_mean": (-0.0139, 0.0009),
        "delta_p_rms": (0.0911, 0.0015),
    },
}
_WRONG = {"bf16": 0, "w4a16": 4, "w4a4": 19}
"""Of 200 questions, those that a format has wrong beside the 60 that all have."""


def study(*formats: str, model: str = MODEL) -> Evaluation:
    """Return an evaluation of some formats, all by default."""
    chosen: tuple[str, ...] = formats or tuple(_TEXT)
    results = [
        Result(model, form, "wikitext", metric, value, stderr)
        for form in chosen
        for metric, (value, stderr) in _TEXT[form].items()
    ]
    items: list[Items] = []
    for form in chosen:
        nll = [2.27 + 0.1 * (at % 7) + 0.004 * _WRONG[form] * (1 + at % 3) for at in range(64)]
        names = tuple(f"{256 * at}:0badcafe" for at in range(64))
        items.append(Items(model, form, "wikitext", "nll", names, tuple(nll), (256.0,) * 64))
        right = [float(at >= 60 + _WRONG[form]) for at in range(200)]
        share = sum(right) / 200
        error = (share * (1 - share) / 199) ** 0.5
        results.append(Result(model, form, "piqa", "accuracy", share, error))
        questions = tuple(f"piqa/{at}" for at in range(200))
        items.append(Items(model, form, "piqa", "accuracy", questions, tuple(right)))
    return Evaluation(
        tuple(results),
        tuple(items),
        Subject(model, "bf16"),
        ("w4a4 is emulated: this computer has no such kernels.",),
    )
