"""What others measured of NVFP4 and MXFP4, with where it stands; advice rests on nothing else.

Recovery is the mean score of a quantised model over that of its original.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is advised, or is not.

    Attributes:
        text: A sentence.
        source: Where its figures stand; empty where they were counted here.
    """

    text: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.text} [{self.source}]" if self.source else self.text


_MR_GPTQ = "arXiv:2509.23202"
_REPEATED = "vllm-project/llm-compressor #2922"
_TORCHAO = "pytorch/ao #3981"

GPTQ = Reason(
    "GPTQ keeps 95.9% of the original's score where rounding to nearest keeps 94.7% "
    "(Llama 3.1 8B, W4A4), in another measurement 95.9 and 94.0%; of weights alone it keeps 98.4 "
    "against 98.1%.",
    f"{_MR_GPTQ}; {_REPEATED}; {_TORCHAO}",
)
NEAREST = Reason(
    "Rounding to nearest reads every weight once and needs no text; the sweep over block scales takes "
    "27% off the squared error of the usual rule.",
    "arXiv:2606.07618",
)
REPLAY = Reason(
    "Replaying each block with every scale kept 100.8% where GPTQ kept 98.7% (Llama 3.3 70B, W4A4; "
    "its authors' figures).",
    "Schur Replay, preprint of KlingAI",
)
SIXTEEN_BIT_INPUTS = Reason(
    "Activations stay at 16 bits: weights alone keep 98.4% of the mean score of five tasks, with "
    "activations of 4 bits it is 96.4% (GPTQ).",
    _TORCHAO,
)
FOUR_BIT_INPUTS = Reason(
    "Activations of 4 bits let this card read prompts with its FP4 units; answers are written with "
    "16-bit activations in any case."
)
LARGE = Reason(
    "Large models bear them: with GPTQ Qwen3 32B keeps 99.5% of its score, a Llama of 70B 99.1% "
    "(W4A4).",
    _MR_GPTQ,
)
MIXTURE = Reason(
    "So do mixtures: in one task Qwen3 30B A3B keeps 100.1 and 99.3% with GPTQ on two texts, 98.5 and "
    "97.9% with rounding to nearest (W4A4).",
    "vllm-project/llm-compressor #3001",
)
NVFP4 = Reason(
    "NVFP4 rather than MXFP4, with which GPTQ keeps 89.5% instead of 95.9% (Llama 3.1 8B, W4A4).",
    _MR_GPTQ,
)

ROTATION = Reason(
    "mr-gptq: rotations win nothing with NVFP4 (96.1 against 95.9% on 8B, where the seed decides "
    "0.3; 98.3 against 99.5% on 32B), and fewer programs load them; with MXFP4 they do, 93.3 against "
    "89.5%.",
    _MR_GPTQ,
)
SMOOTHQUANT = Reason(
    "smoothquant: 95.9% on 8B, as GPTQ (W4A4), but with nothing that makes up for rounding.",
    _MR_GPTQ,
)
DISTILLING = Reason(
    "--distil: training against the original brought W4A4 from 74.0 to 76.1 of 78.9 points (Llama "
    "3.1 8B); it takes far longer than GPTQ.",
    "arXiv:2601.20088; ISTA-DASLab/Llama-3.1-8B-Instruct-FPQuant-QAT-NVFP4",
)
EXPECTATION = Reason(
    "Not the same words: NVFP4 of Qwen3 8B chooses the original's token 87.0% of the time, at 1.044 "
    "times its perplexity; of Qwen3.5 27B 90.6%, at 1.050 times. `localfp4 eval` measures yours.",
    "ggml-org/llama.cpp #20247",
)
SMALL = Reason(
    "Small models lose most: of 1B GPTQ keeps 85.7% (W4A4).",
    _MR_GPTQ,
)
