"""From a spec to an adapter: supervised fine-tuning and DPO, with LoRA and QLoRA.

The work runs in a child process, ``python -m service.training SPEC.json``, that speaks JSON
lines (`protocol`). It knows no HTTP and no Redis. What is named here imports no torch; the
modules that do are imported by the child alone.
"""

from service.training.contract.protocol import (
    EXIT_FAILED,
    EXIT_STOPPED,
    EXIT_SUCCEEDED,
    CheckpointSaved,
    Failed,
    FailureCode,
    Message,
    NoteCode,
    Noted,
    ProtocolError,
    Started,
    StepDone,
    StepMetrics,
    StopCommand,
    Stopped,
    Succeeded,
    Warned,
    WarningCode,
    encode,
    parse_message,
)
from service.training.contract.spec import EarlyStopping, LoraSpec, TrainSpec

__all__ = [
    "EXIT_FAILED",
    "EXIT_STOPPED",
    "EXIT_SUCCEEDED",
    "CheckpointSaved",
    "EarlyStopping",
    "Failed",
    "FailureCode",
    "LoraSpec",
    "Message",
    "NoteCode",
    "Noted",
    "ProtocolError",
    "Started",
    "StepDone",
    "StepMetrics",
    "StopCommand",
    "Stopped",
    "Succeeded",
    "TrainSpec",
    "Warned",
    "WarningCode",
    "encode",
    "parse_message",
]
