"""Limits of what the schemas and grammars of one project may cost an engine, installed in vLLM.

The engine's server has each new constraint tried (constraint_trials.py) before vLLM checks or
compiles it, one at a time for each project. The engine's core measures the steps of those that
passed, because some become slower with each token, and ends an answer whose steps have taken too
long.

All requests come together here, whatever made the constraint: a response format, a tool, a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from service.inference.engine.constraint_trials import (
    SLOW_STEP_S,
    XGRAMMAR,
    Backends,
    Trials,
    Verdict,
)
from service.inference.headers import CONSTRAINT_BUSY, CONSTRAINT_TOO_COMPLEX

MAX_WAITING: Final = 32
"""Number of new constraints of a project that wait for their trial."""
_FREE_TRIAL_S: Final = 0.1
"""CPU time of a trial that is not counted. Those of usual schemas take 0.02 to 0.1 s."""
_MAX_TRIALS_S: Final = 10.0
_MAX_ANSWER_S: Final = 0.5
_MAX_PROJECT_S: Final = 2.0
_FORGIVEN_PER_S: Final = 0.1
_REMEMBERED: Final = 4096
_REFUSED_S: Final = 600.0
_NICENESS: Final = 5


class Debts:
    """CPU seconds that projects have used beyond what is free, forgiven with time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, tuple[float, float]] = {}

    def seconds(self, project: str) -> float:
        """Return the seconds that count at present."""
        seconds, at = self._of.get(project, (0.0, 0.0))
        return max(0.0, seconds - (self._clock() - at) * _FORGIVEN_PER_S)

    def add(self, project: str, seconds: float) -> None:
        """Count seconds of CPU time."""
        total = self.seconds(project) + seconds
        if len(self._of) >= _REMEMBERED:
            self._of = {name: debt for name, debt in self._of.items() if self.seconds(name) > 0}
        self._of[project] = (total, self._clock())


class Busy(Exception):
    """A project has too many new constraints at present."""


class TooComplex(Exception):
    """A constraint takes too long to compile, or its steps do."""


class Gate:
    """Lets constraints pass whose trial was fast. `run` tries one, in a thread."""

    def __init__(
        self, run: Callable[[Any], Verdict], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run = run
        self._debts = Debts(clock)
        self._clock = clock
        self._known: dict[bytes, tuple[Verdict, float]] = {}
        self._running: dict[bytes, asyncio.Task[Verdict]] = {}
        self._turn = asyncio.Lock()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: defaultdict[str, int] = defaultdict(int)

    async def verdict(self, digest: bytes, constraint: Any, project: str) -> Verdict:
        """Return the verdict on a constraint, after a trial if it is new. Raises Busy."""
        known, until = self._known.get(digest, (None, 0.0))
        if known is not None and self._clock() < until:
            return known
        if (task := self._running.get(digest)) is None:
            if (
                self._waiting[project] >= MAX_WAITING
                or self._debts.seconds(project) > _MAX_TRIALS_S
            ):
                raise Busy
            self._waiting[project] += 1
            task = asyncio.create_task(self._try(digest, constraint, project))
            self._running[digest] = task
        # Other requests may wait for the same trial, or will.
        return await asyncio.shield(task)

    async def _try(self, digest: bytes, constraint: Any, project: str) -> Verdict:
        try:
            # A project has one place among those that wait for the process.
            async with self._turns[project], self._turn:
                verdict = await asyncio.to_thread(self._run, constraint)
            self._debts.add(project, max(0.0, verdict.cpu_s - _FREE_TRIAL_S))
            self._remember(digest, verdict)
            return verdict
        finally:
            del self._running[digest]
            self._waiting[project] -= 1
            if not self._waiting[project]:
                del self._waiting[project], self._turns[project]

    def _remember(self, digest: bytes, verdict: Verdict) -> None:
        if verdict.outcome == "no_time":
            return
        self._known.pop(digest, None)
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        # CPU time depends on what else the machine does, so a refusal is not final.
        lasts_s = _REFUSED_S if verdict.outcome == "too_complex" else math.inf
        self._known[digest] = verdict, self._clock() + lasts_s


class Measured:
    """A grammar whose steps are measured. It ends the answer once they have taken too long."""

    def __init__(self, grammar: Any, project: str, debts: Debts) -> None:
        self._grammar = grammar
        self._project = project
        self._debts = debts
        self._slow_s = 0.0
        self._given_up = False

    def fill_bitmask(self, bitmask: Any, index: int) -> None:
        """Set the tokens that may follow, or all once the grammar is given up."""
        if self._given_up:
            bitmask[index].fill_(-1)
        else:
            self._measured(self._grammar.fill_bitmask, bitmask, index)

    def accept_tokens(self, request_id: str, tokens: list[int]) -> bool:
        """Take the tokens, or return False, upon which vLLM ends the answer with an error."""
        accepted: bool = self._measured(self._grammar.accept_tokens, request_id, tokens)
        return accepted and not self._given_up

    def validate_tokens(self, tokens: list[int]) -> list[int]:
        """Return the first of these tokens that the grammar accepts."""
        accepted: list[int] = self._measured(self._grammar.validate_tokens, tokens)
        return accepted

    def rollback(self, tokens: int) -> None:
        """Take back the last tokens."""
        self._grammar.rollback(tokens)

    def is_terminated(self) -> bool:
        """Return whether the grammar has ended."""
        return not self._given_up and self._grammar.is_terminated()

    def reset(self) -> None:
        """Begin again."""
        self._grammar.reset()

    def _measured(self, step: Callable[..., Any], *arguments: Any) -> Any:
        began = time.thread_time()
        result = step(*arguments)
        if (slow_s := time.thread_time() - began - SLOW_STEP_S) > 0:
            self._slow_s += slow_s
            self._debts.add(self._project, slow_s)
            self._given_up = (
                self._slow_s > _MAX_ANSWER_S or self._debts.seconds(self._project) > _MAX_PROJECT_S
            )
        return result


def install(*, is_server: bool) -> None:
    """Limit constraints in this process of vLLM. `is_server` says whether requests come to it."""
    _install_in_core()
    if is_server:
        _install_in_server(Trials())


def _install_in_core() -> None:
    """Compile with the backend that fits the constraint, and measure the steps of each grammar."""
    from vllm.v1.structured_output import StructuredOutputManager

    debts = Debts()
    begin = StructuredOutputManager.grammar_init

    def grammar_init(manager: Any, request: Any) -> None:
        if manager.backend is None and request.structured_output_request is not None:
            manager.backend = Backends(manager.vllm_config, manager.tokenizer)
        begin(manager, request)

    def create(manager: Any, request: Any) -> Measured:
        _be_nice()
        kind, spec = request.structured_output_request.structured_output_key
        name = request.sampling_params.structured_outputs._backend or XGRAMMAR  # noqa: SLF001
        grammar = manager.backend.get(name).compile_grammar(
            kind, spec, stop_token_ids=request.sampling_params.all_stop_token_ids
        )
        return Measured(grammar, request.cache_salt or "", debts)

    StructuredOutputManager.grammar_init = grammar_init
    StructuredOutputManager._create_grammar = create  # noqa: SLF001


def _be_nice() -> None:
    """Let this thread, and those that it starts, yield to the ones that compute answers."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


def _install_in_server(trials: Trials) -> None:
    from vllm.entrypoints.generate.base import protocol
    from vllm.exceptions import GracefulHTTPError, VLLMValidationError
    from vllm.parser import abstract_parser
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

    add_request = AsyncLLM.add_request
    validate = SamplingParams._validate_structured_outputs  # noqa: SLF001
    gates: dict[int, Gate] = {}

    async def add_tried(
        engine: Any, request_id: str, prompt: Any, params: Any, *rest: Any, **named: Any
    ) -> Any:
        constraint = getattr(params, "structured_outputs", None)
        if constraint is not None and not (
            _is_tried(constraint) or constraint.all_constraints_none()
        ):
            config = engine.vllm_config
            gate = gates.setdefault(id(engine), Gate(lambda each: trials.run(config, each)))
            project = prompt.get("cache_salt") if isinstance(prompt, dict) else None
            try:
                await _pass(gate, constraint, project or "")
            except Busy:
                raise GracefulHTTPError(CONSTRAINT_BUSY, HTTPStatus.TOO_MANY_REQUESTS) from None
            except TooComplex:
                raise VLLMValidationError(CONSTRAINT_TOO_COMPLEX) from None
        return await add_request(engine, request_id, prompt, params, *rest, **named)

    def validate_untried(params: Any, *rest: Any) -> None:
        if not _is_tried(params.structured_outputs):
            validate(params, *rest)

    AsyncLLM.add_request = add_tried
    SamplingParams._validate_structured_outputs = validate_untried  # noqa: SLF001
    # While vLLM reads a request, it would parse its structural tag, and with tools any constraint.
    # For one of 5 KB this took 9 s.
    protocol.validate_structural_tag_payload = lambda *_, **__: None
    abstract_parser._xgrammar_supports = _goes_with_tools  # noqa: SLF001


def _goes_with_tools(constraint: Any) -> bool:
    """Return whether vLLM can combine a constraint with tools that may be called."""
    from vllm.sampling_params import check_json_nesting
    from vllm.v1.structured_output import backend_xgrammar

    if constraint.grammar is not None:
        return not backend_xgrammar.grammar_is_likely_lark(constraint.grammar)
    if constraint.json is None:
        return True
    check_json_nesting(constraint.json)
    schema = constraint.json
    with contextlib.suppress(ValueError):
        schema = json.loads(schema) if isinstance(schema, str) else schema
        return not backend_xgrammar.has_xgrammar_unsupported_json_features(schema)
    return False


def _is_tried(constraint: Any) -> bool:
    return getattr(constraint, "tried", False)


async def _pass(gate: Gate, constraint: Any, project: str) -> None:
    """Try a constraint and set the backend that compiles it.

    One that fails is tried again without the schemas of tools that are not `strict`. Raises Busy or
    TooComplex.
    """
    from vllm.exceptions import VLLMValidationError
    from vllm.v1.structured_output.request import get_structured_output_key
    from vllm.v1.structured_output.utils import choice_as_grammar

    from service.inference.engine.tool_calls import loosen

    kind, spec = get_structured_output_key(constraint)
    digest = hashlib.sha256(f"{kind.name}\n{spec}".encode("utf-8", "surrogatepass")).digest()
    verdict = await gate.verdict(digest, constraint, project)
    if verdict.outcome == "no_time":
        raise Busy
    if verdict.outcome in ("too_complex", "invalid") and (loose := loosen(spec)) is not None:
        setattr(constraint, "json" if constraint.json is not None else "structural_tag", loose)
        await _pass(gate, constraint, project)
        return
    if verdict.outcome == "too_complex":
        raise TooComplex
    if verdict.outcome == "invalid":
        raise VLLMValidationError(verdict.message)
    if constraint.choice is not None:
        constraint.grammar, constraint.choice = choice_as_grammar(constraint.choice), None
    constraint._backend = verdict.backend  # noqa: SLF001
    constraint._backend_was_auto = True  # noqa: SLF001
    constraint.tried = True
