"""Last step of a job: verify that the engine's scores match the trainer's."""

from __future__ import annotations

from service.config import Settings
from service.inference.upstreams import Upstreams
from service.jobs.attempt.engines import EngineAway
from service.jobs.attempt.recorder import Ledger
from service.jobs.attempt.verify import MOST_LOST, NotServed, Parity, ask_both, compare
from service.jobs.records import JobFailure, JobRecord
from service.models.records import checkpoint_name
from service.training.contract.protocol import Succeeded


class Serving:
    """Checks of a job's model on the serving engines of its base model."""

    def __init__(
        self, job: JobRecord, ledger: Ledger, upstreams: Upstreams, settings: Settings
    ) -> None:
        self._base = job.model
        self._ledger = ledger
        self._upstreams = upstreams
        self._is_served = job.model in settings.upstreams

    async def agrees(self, message: Succeeded) -> bool:
        """Return whether the engine's scores match the trainer's; if they do not, fail the job.

        The request names the checkpoint that has the result's weights, because the engine already
        knows it. The check is skipped if the engine is down; an event says so, and the model
        becomes ready. If the engine serves the base model but rejects the adapter, the job fails,
        because the engine would reject every user's request too.
        """
        if not self._is_served or not message.probes:
            return True
        step = message.adapter_step or message.final_step
        name = checkpoint_name(self._ledger.model, step)
        try:
            tuned, base = await ask_both(self._upstreams, self._base, name, message.probes)
        except EngineAway as e:
            text = f"The engine could not be compared with the trainer: {e}"
            await self._ledger.event(text, "warn", {"code": "serve_parity"})
            return True
        except NotServed as e:
            fault = (
                f"the engine does not serve it: {e} for the model, although it serves the base "
                "model. See the engine's log."
            )
            await self._fail(fault, {})
            return False
        parity = compare(message.probes, tuned, base)
        if parity.fault is None:
            await self._report(parity)
            return True
        await self._fail(f"{parity.fault}; see the event for the figures.", parity.figures())
        return False

    async def _report(self, parity: Parity) -> None:
        data = {"code": "serve_parity", **parity.figures()}
        if parity.lost <= MOST_LOST:
            text = "The engine was checked: it answers like the trained model"
            await self._ledger.event(text, data=data)
            return
        text = (
            f"The served model is worse than the trained one: about {parity.lost:.0%} of what the "
            "training improved is lost, because the engine has the base model's weights in a "
            "different form from the training. Ask the operator to serve the base model in the "
            "form of the training or with more bits (serving_quantization), or train with another "
            "'quantization'"
        )
        await self._ledger.event(text, "warn", data)

    async def _fail(self, fault: str, figures: dict[str, float]) -> None:
        failure = JobFailure(code="serve_parity", message=f"The model was trained, but {fault}")
        await self._ledger.fail(failure, {"code": "serve_parity", **figures})
