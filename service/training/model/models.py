"""Loads the base model and its tokenizer from a local folder of safetensors.

Nothing is downloaded, and no code from the folder is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BitsAndBytesConfig,
    Mxfp4Config,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from service.training.contract.failures import TrainingFailure, is_out_of_memory
from service.training.contract.spec import TrainSpec
from service.training.model.base_folder import invalid_model, is_converted
from service.training.model.experts import quantize_on
from service.training.model.nf4_kernel import use_fast_kernel
from service.training.model.shape import cpu_has_bf16, dtype_of, is_softcapped

_LOAD_ERRORS: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    SafetensorError,
)


@dataclass(frozen=True, slots=True)
class ComputeDevice:
    """The device and dtype that the model computes with."""

    type: str
    dtype: torch.dtype

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def choose_device(planned: str | None = None) -> ComputeDevice:
    """Choose the planned device, or CUDA if available, with the dtype of most models there.

    `choose_dtype` changes it for the others. Raises `TrainingFailure` (gpu_unavailable) if the run
    was planned for CUDA, and torch cannot use it.
    """
    if planned == "cuda":
        _require_cuda()
    if planned != "cpu" and torch.cuda.is_available():
        device, has_bf16 = "cuda", torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        device, has_bf16 = "cpu", cpu_has_bf16()
    return ComputeDevice(device, getattr(torch, dtype_of(device, None, has_bf16=has_bf16)))


def _require_cuda() -> None:
    """Raise `TrainingFailure` unless torch has kernels for the first GPU and can start CUDA."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        major, minor = torch.cuda.get_device_capability(0)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch is built for CPUs
        reason = str(error).partition("\n")[0].partition(". ")[0].strip().removesuffix(".")
        hides = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
        raise _gpu_unavailable(
            "CUDA_VISIBLE_DEVICES hides all GPUs" if hides else f"torch says: {reason}"
        ) from error
    kernels = [int(arch[3:]) for arch in torch.cuda.get_arch_list() if arch[3:].isdecimal()]
    if kernels and 10 * major + minor < min(kernels):
        raise _gpu_unavailable(
            f"it has compute capability {major}.{minor}, and this torch has kernels from "
            f"{min(kernels) // 10}.{min(kernels) % 10} on"
        )


def _gpu_unavailable(reason: str) -> TrainingFailure:
    return TrainingFailure(
        "gpu_unavailable",
        "The training was planned for a GPU, and this process cannot use one. Nothing was trained. "
        f"The reason: {reason}. On the worker's machine, 'finetuned-server doctor' says how to fix "
        "it.",
    )


def load_tokenizer(spec: TrainSpec) -> PreTrainedTokenizerBase:
    """Load the tokenizer, which must be a fast one with a chat template.

    Raises `TrainingFailure` (invalid_model).
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            spec.base_model_path, trust_remote_code=False, local_files_only=True
        )
    except _LOAD_ERRORS as error:
        raise invalid_model(
            spec, f"its tokenizer cannot be loaded ({type(error).__name__})"
        ) from error
    if not tokenizer.is_fast:
        raise invalid_model(spec, "its tokenizer has no tokenizer.json")
    if not tokenizer.chat_template:
        raise invalid_model(spec, "its tokenizer has no chat template")
    loaded: PreTrainedTokenizerBase = tokenizer
    return loaded


def load_base(spec: TrainSpec, device: ComputeDevice) -> PreTrainedModel:
    """Load the frozen base model, in NF4 with double quantization if the spec asks for it.

    It is loaded onto the device, or onto the host if it is to be sharded across several devices.
    Raises `TrainingFailure` (invalid_model).
    """
    placement = 0 if device.type == "cuda" and spec.sharding != "fsdp" else "cpu"
    is_nf4 = spec.hyperparameters.quantization == "nf4"
    try:
        config = AutoConfig.from_pretrained(
            spec.base_model_path, trust_remote_code=False, local_files_only=True
        )
        _use_long_rope(config)
        model = _model_class(config).from_pretrained(
            spec.base_model_path,
            config=config,
            attn_implementation=attention_implementation(config),
            dtype=device.dtype,
            quantization_config=_nf4(spec, device) if is_nf4 else _unpacked(config),
            device_map={"": placement},
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except _LOAD_ERRORS as error:
        if is_out_of_memory(error) or (isinstance(error, OSError) and error.errno is not None):
            raise  # caused by disk or memory, not by the model
        raise invalid_model(
            spec, f"its weights cannot be loaded ({type(error).__name__})"
        ) from error
    model.config.use_cache = False
    _disable_cpu_repacking(model)
    if is_nf4 and device.type == "cpu":
        _release_files(model)
    loaded: PreTrainedModel = model
    return loaded


def _use_long_rope(config: Any) -> None:
    """Scale the positions of short rows as those of long ones, where a model has factors for each.

    An engine does so for all requests if it accepts long ones.
    """
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        rope["short_factor"] = rope["long_factor"]


def attention_implementation(config: Any) -> str | None:
    """Return transformers' attention function for a model; None for its usual one.

    SDPA leaves out the softcap of attention scores, which engines apply.
    """
    return "eager" if is_softcapped(config.get_text_config().to_dict()) else None


def _model_class(config: Any) -> Any:
    """Return the transformers class that loads the architecture which config.json names.

    vLLM chooses by that name too. A model that also reads images is not always among the causal
    models, or is there without the part that reads them, under other names of its layers.
    """
    with_images = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING.get(type(config), None)
    if with_images is not None and with_images.__name__ in (config.architectures or ()):
        return AutoModelForImageTextToText
    return AutoModelForCausalLM


def _nf4(spec: TrainSpec, device: ComputeDevice) -> BitsAndBytesConfig:
    use_fast_kernel()
    quantize_on(device.type)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=device.dtype,
        bnb_4bit_quant_storage=device.dtype if spec.sharding == "fsdp" else None,
    )


def _unpacked(config: Any) -> Mxfp4Config | None:
    """Convert MXFP4 weights to 16 bits. `check_folder` refused other stored forms."""
    return Mxfp4Config(dequantize=True) if is_converted(config.to_dict()) else None


def _disable_cpu_repacking(model: PreTrainedModel) -> None:
    # During evaluation on a CPU with AVX512-BF16, bitsandbytes repacks 4-bit weights for inference
    # and later unpacks them with rounded, requantized scales. Each evaluation would change the base
    # model, and a resumed run would not match the original.
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _release_files(model: PreTrainedModel) -> None:
    # Weights that were not quantized still point into the memory-mapped files and keep all of their
    # pages alive.
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.clone()


def keep_adapter_in_fp32(model: Any) -> None:
    """Convert trained weights to fp32.

    TRL casts a QLoRA adapter to bf16, whose steps of 0.4% swallow most updates at a small learning
    rate.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


Checkpointed = Callable[..., Any]


def keep_inputs_on_host(model: PreTrainedModel) -> None:
    """Have gradient checkpointing, whenever it is enabled, keep the inputs of layers on the host.

    Trainers enable it when they begin, and again after passes without it.
    """
    original: Any = model._set_gradient_checkpointing  # noqa: SLF001

    def set_on_host(
        enable: bool = True,  # as transformers calls it
        gradient_checkpointing_func: Checkpointed = checkpoint,
        **options: Any,
    ) -> None:
        original(
            enable=enable,
            gradient_checkpointing_func=partial(_on_host, gradient_checkpointing_func),
            **options,
        )

    model._set_gradient_checkpointing = set_on_host  # noqa: SLF001


def keep_last_layers(model: PreTrainedModel, count: int) -> None:
    """Have gradient checkpointing, whenever it is enabled, leave out the last layers.

    They keep their activations. The backward pass frees these before it recomputes other layers.
    """
    original: Any = model._set_gradient_checkpointing  # noqa: SLF001
    layers = [m for m in model.get_decoder().modules() if isinstance(m, GradientCheckpointingLayer)]

    def set_for_others(*args: Any, **options: Any) -> None:
        original(*args, **options)
        for layer in layers[max(len(layers) - count, 0) :]:
            layer.gradient_checkpointing = False

    model._set_gradient_checkpointing = set_for_others  # noqa: SLF001


def _on_host(checkpointed: Checkpointed, layer: Callable[..., Any], *inputs: Any) -> Any:
    # What the layer saves for its own backward pass has hooks of its own, from checkpoint().
    with saved_tensors_hooks(to_host, to_device):
        return checkpointed(layer, *inputs)


def to_host(tensor: Tensor) -> tuple[torch.device, Tensor]:
    """Copy a tensor to the host, in the order of the computation. Also returns its device."""
    is_cuda = tensor.device.type == "cuda"
    copy = torch.empty_like(tensor, device="cpu", pin_memory=is_cuda)
    copy.copy_(tensor, non_blocking=is_cuda)
    return tensor.device, copy


def to_device(kept: tuple[torch.device, Tensor]) -> Tensor:
    """Copy a tensor back to its device."""
    device, copy = kept
    return copy.to(device, non_blocking=True)


def add_pause_points(model: nn.Module, pause: Callable[[], None]) -> None:
    """Call `pause` before each layer of the model, and after its backward pass.

    A micro-step of 1,500 tokens takes seconds on a CPU. Smaller ones would round differently, so
    that the losses would depend on the chats.
    """
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.register_forward_pre_hook(partial(_before, pause), with_kwargs=True)


def _before(
    pause: Callable[[], None], _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    pause()
    inputs = args[0] if args else kwargs.get("hidden_states")
    if isinstance(inputs, torch.Tensor) and inputs.requires_grad:
        # It returns None, so the gradient does not change.
        inputs.register_hook(lambda _gradient: pause())  # type: ignore[no-untyped-call]
