"""Lists open models that can be base models, for the tables of docs/models.md.

Values are from the model cards and config.json files on the Hugging Face Hub, as of the date on
that page. Sizes are computed from the shapes by `sizes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.training.model.shape import Linear, ModelShape


@dataclass(frozen=True)
class Shape:
    """The values of a model's config.json. `rest` are parameters outside the language model.

    `is_softcapped` says whether it caps the scores of attention.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    tied: bool
    vocabulary: int
    head: int = 128
    rest: int = 0
    is_softcapped: bool = False

    def model(self) -> ModelShape:
        """Return the shape of a model with gated MLPs, as if read from its folder."""
        h, i = self.hidden, self.intermediate
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        sizes = {
            "self_attn.q_proj": (h, queries),
            "self_attn.k_proj": (h, keys),
            "self_attn.v_proj": (h, keys),
            "self_attn.o_proj": (queries, h),
            "mlp.gate_proj": (h, i),
            "mlp.up_proj": (h, i),
            "mlp.down_proj": (i, h),
        }
        linears = tuple(
            Linear(f"layers.{n}.{name}", *size)
            for n in range(self.layers)
            for name, size in sizes.items()
        )
        words = self.vocabulary * h * (1 if self.tied else 2)
        return ModelShape(
            parameters=words + sum(x.inputs * x.outputs for x in linears) + self.rest,
            linears=linears,
            layers=self.layers,
            hidden=h,
            intermediate=i,
            heads_width=queries,
            kv_width=keys,
            kv_heads=self.kv_heads,
            vocabulary=self.vocabulary,
            eager_heads=self.heads if self.is_softcapped else 0,
            ends=words,
        )


@dataclass(frozen=True)
class License:
    """A license: its name, its ID for `--license`, and whether it allows commercial use."""

    name: str
    id: str
    commercial: str


_APACHE = License("Apache-2.0", "apache-2.0", "yes")
_MIT = License("MIT", "mit", "yes")
_LLAMA_3 = License("Llama 3 Community License", "llama3", "yes, up to 700 million monthly users")
_LLAMA_31 = License("Llama 3.1 Community License", "llama3.1", _LLAMA_3.commercial)
_LLAMA_32 = License("Llama 3.2 Community License", "llama3.2", _LLAMA_3.commercial)
_LLAMA_33 = License("Llama 3.3 Community License", "llama3.3", _LLAMA_3.commercial)
_GEMMA = License("Gemma Terms of Use", "gemma", "yes, without the uses that Google prohibits")
_SWALLOW = License(
    "Llama 3.3 Community License, and the Gemma Terms of Use",
    "llama3.3",
    "yes, within both",
)


@dataclass(frozen=True)
class OpenModel:
    """A model on the Hub.

    `template` names its chat template in TRL, from which parsers are detected; `seen` are the
    parsers of a model that was run here. Without a shape, nothing is computed: it is unknown, or
    the model is not dense.
    """

    id: str
    license: License
    languages: str
    context: int | None
    shape: Shape | None
    template: str | None = None
    seen: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """The last part of the model's name."""
        return self.id.rpartition("/")[2]


def _qwen3(
    name: str, hidden: int, layers: int, heads: int, intermediate: int, *, tied: bool
) -> OpenModel:
    shape = Shape(hidden, layers, heads, 8, intermediate, tied=tied, vocabulary=151_936)
    return OpenModel(f"Qwen/{name}", _APACHE, "more than 100", 40_960, shape, "qwen3")


_LLAMA_8B = Shape(4096, 32, 32, 8, 14_336, tied=False, vocabulary=128_256)
_LLAMA_70B = Shape(8192, 80, 64, 8, 28_672, tied=False, vocabulary=128_256)
_LLAMA_LANGUAGES = "English, French, German, Hindi, Italian, Portuguese, Spanish, Thai"
_GEMMA_2_9B = Shape(
    3584, 42, 16, 8, 14_336, tied=True, vocabulary=256_000, head=256, is_softcapped=True
)
_VISION = 417_000_000  # the vision encoder of Gemma 3 and of Ministral 3
_GEMMA_12B = Shape(3840, 48, 16, 8, 15_360, tied=True, vocabulary=262_208, head=256, rest=_VISION)
_GEMMA_27B = Shape(5376, 62, 32, 16, 21_504, tied=True, vocabulary=262_208, rest=_VISION)
_MINISTRAL_LANGUAGES = (
    "Arabic, Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Portuguese, "
    "Spanish"
)
_PHI_4_MINI_LANGUAGES = (
    "Arabic, Chinese, Czech, Danish, Dutch, English, Finnish, French, German, Hebrew, Hungarian, "
    "Italian, Japanese, Korean, Norwegian, Polish, Portuguese, Russian, Spanish, Swedish, Thai, "
    "Turkish, Ukrainian"
)
_SEA = "Burmese, Chinese, English, Filipino, Indonesian, Khmer, Lao, Malay, Tamil, Thai, Vietnamese"

QWEN3: Final = (
    _qwen3("Qwen3-0.6B", 1024, 28, 16, 3072, tied=True),
    _qwen3("Qwen3-1.7B", 2048, 28, 16, 6144, tied=True),
    _qwen3("Qwen3-4B", 2560, 36, 32, 9728, tied=True),
    _qwen3("Qwen3-8B", 4096, 36, 32, 12_288, tied=False),
    _qwen3("Qwen3-14B", 5120, 40, 40, 17_408, tied=False),
    _qwen3("Qwen3-32B", 5120, 64, 64, 25_600, tied=False),
)


def _distilled(name: str, shape: Shape) -> OpenModel:
    full_name = f"deepseek-ai/DeepSeek-R1-Distill-{name}"
    return OpenModel(full_name, _MIT, "Chinese, English", 131_072, shape, "deepseek_r1_distill")


OPEN_MODELS: Final = (
    *QWEN3,
    OpenModel(
        "meta-llama/Llama-3.2-1B-Instruct",
        _LLAMA_32,
        _LLAMA_LANGUAGES,
        131_072,
        Shape(2048, 16, 32, 8, 8192, tied=True, vocabulary=128_256, head=64),
        "llama3_2",
    ),
    OpenModel(
        "meta-llama/Llama-3.2-3B-Instruct",
        _LLAMA_32,
        _LLAMA_LANGUAGES,
        131_072,
        Shape(3072, 28, 24, 8, 8192, tied=True, vocabulary=128_256),
        "llama3_2",
    ),
    OpenModel(
        "meta-llama/Llama-3.1-8B-Instruct",
        _LLAMA_31,
        _LLAMA_LANGUAGES,
        131_072,
        _LLAMA_8B,
        "llama3_1",
    ),
    OpenModel(
        "meta-llama/Llama-3.3-70B-Instruct", _LLAMA_33, _LLAMA_LANGUAGES, 131_072, _LLAMA_70B
    ),
    OpenModel(
        "google/gemma-3-1b-it",
        _GEMMA,
        "English",
        32_768,
        Shape(1152, 26, 4, 1, 6912, tied=True, vocabulary=262_144, head=256),
        "gemma3",
    ),
    OpenModel(
        "google/gemma-3-4b-it",
        _GEMMA,
        "more than 140",
        131_072,
        Shape(2560, 34, 8, 4, 10_240, tied=True, vocabulary=262_208, head=256, rest=_VISION),
        "gemma3",
    ),
    OpenModel("google/gemma-3-12b-it", _GEMMA, "more than 140", 131_072, _GEMMA_12B, "gemma3"),
    OpenModel("google/gemma-3-27b-it", _GEMMA, "more than 140", 131_072, _GEMMA_27B, "gemma3"),
    OpenModel(
        "mistralai/Mistral-7B-Instruct-v0.3",
        _APACHE,
        "not named",
        32_768,
        Shape(4096, 32, 32, 8, 14_336, tied=False, vocabulary=32_768),
    ),
    OpenModel(
        "mistralai/Ministral-3-3B-Instruct-2512-BF16",
        _APACHE,
        _MINISTRAL_LANGUAGES,
        262_144,
        Shape(3072, 26, 32, 8, 9216, tied=True, vocabulary=131_072, rest=_VISION),
    ),
    OpenModel(
        "mistralai/Ministral-3-8B-Instruct-2512-BF16",
        _APACHE,
        _MINISTRAL_LANGUAGES,
        262_144,
        Shape(4096, 34, 32, 8, 14_336, tied=False, vocabulary=131_072, rest=_VISION),
    ),
    OpenModel(
        "mistralai/Ministral-3-14B-Instruct-2512-BF16",
        _APACHE,
        _MINISTRAL_LANGUAGES,
        262_144,
        Shape(5120, 40, 32, 8, 16_384, tied=False, vocabulary=131_072, rest=_VISION),
    ),
    OpenModel(
        "microsoft/Phi-4-mini-instruct",
        _MIT,
        _PHI_4_MINI_LANGUAGES,
        131_072,
        Shape(3072, 32, 24, 8, 8192, tied=True, vocabulary=200_064),
    ),
    OpenModel(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        _APACHE,
        "English",
        8192,
        Shape(576, 30, 9, 3, 1536, tied=True, vocabulary=49_152, head=64),
        seen=("no", "no"),
    ),
    OpenModel(
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        _APACHE,
        "English",
        8192,
        Shape(2048, 24, 32, 32, 8192, tied=True, vocabulary=49_152, head=64),
    ),
    OpenModel(
        "HuggingFaceTB/SmolLM3-3B",
        _APACHE,
        "English, French, German, Italian, Portuguese, Spanish",
        65_536,
        Shape(2048, 36, 16, 4, 11_008, tied=True, vocabulary=128_256),
    ),
    OpenModel(
        "GoToCompany/llama3-8b-cpt-sahabatai-v1-instruct",
        _LLAMA_3,
        "English, Indonesian, Javanese, Sundanese",
        8192,
        _LLAMA_8B,
    ),
    OpenModel(
        "GoToCompany/gemma2-9b-cpt-sahabatai-v1-instruct",
        _GEMMA,
        "English, Indonesian, Javanese, Sundanese",
        8192,
        _GEMMA_2_9B,
    ),
    OpenModel(
        "aisingapore/Llama-SEA-LION-v3-8B-IT",
        _LLAMA_31,
        _SEA.replace("Khmer", "Javanese, Khmer").replace("Tamil", "Sundanese, Tamil"),
        131_072,
        _LLAMA_8B,
    ),
    OpenModel("aisingapore/Gemma-SEA-LION-v4-27B-IT", _GEMMA, _SEA, 131_072, _GEMMA_27B),
    OpenModel("typhoon-ai/typhoon2.5-qwen3-4b", _APACHE, "English, Thai", 262_144, QWEN3[2].shape),
    OpenModel("scb10x/typhoon2.1-gemma3-12b", _GEMMA, "English, Thai", 131_072, _GEMMA_12B),
    OpenModel(
        "tokyotech-llm/Llama-3.1-Swallow-8B-Instruct-v0.5",
        _SWALLOW,
        "English, Japanese",
        None,
        _LLAMA_8B,
    ),
    OpenModel(
        "llm-jp/llm-jp-3.1-1.8b-instruct4",
        _APACHE,
        "English, Japanese",
        4096,
        Shape(2048, 24, 16, 16, 7168, tied=False, vocabulary=99_584),
    ),
    OpenModel(
        "llm-jp/llm-jp-3.1-13b-instruct4",
        _APACHE,
        "English, Japanese",
        4096,
        Shape(5120, 40, 40, 40, 13_824, tied=False, vocabulary=99_584),
    ),
    OpenModel(
        "llm-jp/llm-jp-4-8b-instruct",
        _APACHE,
        "English, Japanese",
        65_536,
        Shape(4096, 32, 32, 32, 14_336, tied=False, vocabulary=98_304),
    ),
    OpenModel("sbintuitions/sarashina2.2-3b-instruct-v0.1", _MIT, "English, Japanese", 8192, None),
    OpenModel("openai/gpt-oss-20b", _APACHE, "not named", 131_072, None, "gptoss"),
    _distilled("Qwen-1.5B", Shape(1536, 28, 12, 2, 8960, tied=False, vocabulary=151_936)),
    _distilled("Qwen-7B", Shape(3584, 28, 28, 4, 18_944, tied=False, vocabulary=152_064)),
    _distilled("Llama-8B", _LLAMA_8B),
    _distilled("Qwen-14B", Shape(5120, 48, 40, 8, 13_824, tied=False, vocabulary=152_064)),
    _distilled("Qwen-32B", Shape(5120, 64, 40, 8, 27_648, tied=False, vocabulary=152_064)),
)
