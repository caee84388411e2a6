"""The last steps of a job: the engine agrees with the trainer, and has the model at hand."""

from __future__ import annotations

from service.config import Settings
from service.inference.upstreams import Upstreams
from service.jobs.attempt.engines import EngineAway, warm
from service.jobs.attempt.recorder import Ledger
from service.jobs.attempt.verify import NotServed, Parity, ask_both, compare
from service.jobs.records import Failure, JobRecord
from service.models.records import checkpoint_name
from service.training.contract.protocol import Succeeded


class Serving:
    """One job's result, as the engines of its base model serve it."""

    def __init__(
        self, job: JobRecord, ledger: Ledger, upstreams: Upstreams, settings: Settings
    ) -> None:
        self._base = job.model
        self._ledger = ledger
        self._upstreams = upstreams
        self._is_served = job.model in settings.upstreams

    async def agrees(self, message: Succeeded) -> bool:
        """Whether the engine says what the trainer says; where not, the job has failed.

        It is asked by the checkpoint that has the result's weights, which it knows already.
        An engine that is away proves nothing: that is told, and the model becomes ready. One that
        refuses the adapter and answers as the base model would refuse every user, too.
        """
        if not self._is_served or not message.probes:
            return True
        step = message.adapter_step or message.final_step
        name = checkpoint_name(self._ledger.model, step)
        try:
            tuned, base = await ask_both(self._upstreams, self._base, name, message.probes)
        except EngineAway as e:
            told = f"The engine could not be compared with the trainer: {e}"
            await self._ledger.event(told, "warn", {"code": "serve_parity"})
            return True
        except NotServed as e:
            fault = (
                f"the engine does not serve it: {e} when asked for the model, and answers for the "
                "base model. See the engine's log."
            )
            await self._fail(fault, {})
            return False
        parity = compare(message.probes, tuned, base)
        if parity.fault is None:
            await self._tell(parity)
            return True
        await self._fail(f"{parity.fault}; the event has the figures.", parity.figures())
        return False

    async def _tell(self, parity: Parity) -> None:
        told = (
            f"The engine agrees with the trainer to {parity.tuned_gap:.3f} nats a token over "
            f"{parity.tokens} tokens; the training moved them by {parity.trainer_move:.3f}"
        )
        await self._ledger.event(told, data={"code": "serve_parity", **parity.figures()})

    async def _fail(self, fault: str, figures: dict[str, float]) -> None:
        failure = Failure(code="serve_parity", message=f"The model was trained, but {fault}")
        await self._ledger.fail(failure, {"code": "serve_parity", **figures})

    async def warm(self) -> None:
        """Spare the first user the wait for the model to come to its engine."""
        if self._is_served:
            await warm(self._upstreams, self._base, self._ledger.model)
