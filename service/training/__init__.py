"""Trains an adapter from a spec, with LoRA or QLoRA, in a child process.

``python -m service.training SPEC.json`` communicates in JSON lines and knows only local files: no
HTTP and no Redis. The names exported here import no torch; only the child process imports the
modules that do.

`contract` is what worker and trainer share: spec, methods, hyperparameters, messages, failures.
`data` decides which rows are learned and in which order, `loop` how a run goes and when it ends
(`loop.run` from start to end, `loop.checkpoints` what a resumed run loads, `loop.selection` which
adapter is the result), `methods` the loss of each method, `model` what is loaded and adapted, and
`parallel` how several GPUs share a run.
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
