"""Turn a spec into an adapter, with LoRA or QLoRA, by one of the methods in `contract.methods`.

Training runs in a child process, ``python -m service.training SPEC.json``, that communicates in
JSON lines (see `protocol`). It uses neither HTTP nor Redis. The names exported here do not import
torch; only the child process imports the modules that do.
"""

from service.training.contract.hyperparameters import EarlyStopping, LoraOptions
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
    SamplesCommand,
    SamplesWanted,
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
from service.training.contract.spec import TrainSpec

__all__ = [
    "EXIT_FAILED",
    "EXIT_STOPPED",
    "EXIT_SUCCEEDED",
    "CheckpointSaved",
    "EarlyStopping",
    "Failed",
    "FailureCode",
    "LoraOptions",
    "Message",
    "NoteCode",
    "Noted",
    "ProtocolError",
    "SamplesCommand",
    "SamplesWanted",
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
