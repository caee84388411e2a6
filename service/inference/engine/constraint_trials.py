"""Trials of the schemas and grammars that constrain answers, in processes that can be killed.

vLLM compiles a constraint in threads of the engine, and nothing stops a compilation that has begun:
a regex of 200 bytes took a core 53 s. So each new constraint is first compiled in a child process,
which also takes some steps with it. The kernel kills the child after `TRIAL_CPU_S` of CPU time.
Only a constraint that passes reaches the engine.

xgrammar compiles before the first token, and takes a second for a text with a `maxLength`.
llguidance compiles while it generates, within limits of its own, so it gets what xgrammar is too
slow for.
"""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import random
import resource
import select
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from service.core.child import die_with_parent
from service.inference.engine.cpu_fork import release_ports

TRIAL_CPU_S: Final = 0.5
SLOW_STEP_S: Final = 0.002
"""CPU time of a step above which it counts as slow. Usual ones take 0.02 to 0.3 ms."""
PROCESS_TITLE: Final = "ConstraintTrials"
XGRAMMAR: Final = "xgrammar"
GUIDANCE: Final = "guidance"

_TRIAL_WALL_S: Final = 20.0  # on a machine that is busy with other work
_MEMORY_BYTES: Final = 2**30
_NICENESS: Final = 5
_SLOWEST_STEP_S: Final = 0.05
_SLOW_STEPS_S: Final = 0.1
_STEPS: Final = 24
_UNKNOWN: Final = "vLLM cannot use this grammar or schema."


class Verdict(NamedTuple):
    """The result of a trial."""

    outcome: Literal["passes", "invalid", "too_complex", "no_time"]
    backend: str = XGRAMMAR
    message: str = ""
    cpu_s: float = 0.0


class Backends:
    """vLLM's compilers of constraints, each created when first needed. Used by several threads.

    vLLM 0.32 has one for the whole engine, of the type that its first constrained request needs. It
    then compiles those of all callers, also those that it cannot compile.
    """

    def __init__(self, config: Any, tokenizer: Any) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._vocab_size = config.model_config.get_vocab_size()
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """Return the backend with this name."""
        with self._lock:
            if (made := self._made.get(name)) is None:
                made = self._made[name] = self._make(name)
        return made

    def allocate_token_bitmask(self, rows: int) -> Any:
        """Return masks for this number of answers. Those of all backends have the same form."""
        return self.get(XGRAMMAR).allocate_token_bitmask(rows)

    def destroy(self) -> None:
        """Release the backends."""
        for made in self._made.values():
            made.destroy()

    def _make(self, name: str) -> Any:
        from vllm.v1.structured_output.backend_guidance import GuidanceBackend
        from vllm.v1.structured_output.backend_xgrammar import XgrammarBackend

        if name == XGRAMMAR:
            return XgrammarBackend(self._config, self._tokenizer, self._vocab_size)
        backend = GuidanceBackend(self._config, self._tokenizer, self._vocab_size)
        backend.disable_additional_properties = True  # as xgrammar
        if backend.ll_tokenizer.vocab_size != self._vocab_size:
            raise ValueError("the masks of xgrammar and llguidance differ in length")
        return backend


class Trials:
    """The process that starts trials, one at a time.

    It is forked from this process, so create it before this process serves requests.
    """

    def __init__(self) -> None:
        self._config: Any = None
        self._lock = threading.Lock()
        self._start("fork")

    def run(self, config: Any, params: Any) -> Verdict:
        """Try a constraint and wait for the verdict. Run it in a thread."""
        with self._lock:
            try:
                return self._ask(config, params)
            except (EOFError, OSError):
                # Killed, for lack of memory. This process cannot be forked again, so the next one
                # imports vLLM.
                self._start("spawn")
                return self._ask(config, params)

    def _ask(self, config: Any, params: Any) -> Verdict:
        self._connection.send((None if self._config is config else config, params))
        self._config = config
        verdict: Verdict = self._connection.recv()
        return verdict

    def _start(self, how: Literal["fork", "spawn"]) -> None:
        context: Any = multiprocessing.get_context(how)
        self._connection, theirs = context.Pipe()
        self._config = None
        self._process: BaseProcess = context.Process(
            target=_serve, args=(theirs,), name="constraint-trials", daemon=True
        )
        self._process.start()
        theirs.close()


def _serve(connection: Connection) -> None:
    """Run the trials that the connection asks for."""
    from vllm.utils.system_utils import set_process_title

    set_process_title(PROCESS_TITLE)
    die_with_parent()
    release_ports()
    for number in (signal.SIGTERM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    backends: Backends | None = None
    tokenizer: Any = None
    config: Any = None
    while True:
        try:
            given, params = connection.recv()
        except EOFError:
            return
        if given is not None:
            from vllm.tokenizers import cached_tokenizer_from_config

            config = given
            tokenizer = cached_tokenizer_from_config(model_config=config.model_config)
            backends = Backends(config, tokenizer)
            _prepare(backends)
        assert backends is not None
        connection.send(_verdict(backends, config, tokenizer, params))


def _prepare(backends: Backends) -> None:
    """Import and create here what each trial would otherwise import and create."""
    from vllm.sampling_params import StructuredOutputsParams

    for name in (XGRAMMAR, GUIDANCE):
        with contextlib.suppress(Exception):  # the tokenizer does not fit this backend
            _try(backends, StructuredOutputsParams(json={"type": "boolean"}), name)
    gc.freeze()  # or collections in trials would copy this process's memory


def _verdict(backends: Backends, config: Any, tokenizer: Any, params: Any) -> Verdict:
    first = _in_child(lambda: _try(backends, params, _choose(config, tokenizer, params)))
    is_failed = first.outcome == "too_complex" or first.message == _UNKNOWN
    if not is_failed or params.structural_tag is not None:
        return first
    second = _in_child(lambda: _try(backends, params, GUIDANCE))
    spent = first.cpu_s + second.cpu_s
    return (second if second.outcome == "passes" else first)._replace(cpu_s=spent)


def _choose(config: Any, tokenizer: Any, params: Any) -> str:
    """Check a constraint as vLLM does, and return the backend that can compile it."""
    from vllm.sampling_params import SamplingParams

    sampling = SamplingParams(structured_outputs=params)
    sampling._validate_structured_outputs(  # noqa: SLF001
        config.model_config, config.structured_outputs_config, tokenizer
    )
    # vLLM names outlines for what neither supports in full, and xgrammar then ignores the rest.
    return GUIDANCE if params._backend == GUIDANCE else XGRAMMAR  # noqa: SLF001


def _try(backends: Backends, params: Any, name: str) -> Verdict:
    from vllm.v1.structured_output.request import get_structured_output_key

    backend = backends.get(name)
    kind, spec = get_structured_output_key(params)
    if params.choice is not None:
        from vllm.v1.structured_output.backend_types import StructuredOutputOptions
        from vllm.v1.structured_output.utils import choice_as_grammar

        kind, spec = StructuredOutputOptions.GRAMMAR, choice_as_grammar(params.choice)
    for seed in range(2):
        if not _is_fast(backend, backend.compile_grammar(kind, spec), seed):
            return Verdict("too_complex", name)
    return Verdict("passes", name)


def _is_fast(backend: Any, grammar: Any, seed: int) -> bool:
    """Follow a grammar along random tokens, and return whether its steps are fast.

    One walk repeats a token where it can: what is ambiguous becomes slower with each.
    """
    import numpy as np

    chance = random.Random(seed)  # noqa: S311
    mask = backend.allocate_token_bitmask(1)
    slow_s, token = 0.0, -1
    for _ in range(_STEPS):
        began = time.thread_time()
        grammar.fill_bitmask(mask, 0)
        filled_s = time.thread_time() - began
        allowed: Any = np.flatnonzero(np.unpackbits(mask.numpy().view(np.uint8), bitorder="little"))
        if not len(allowed):
            break
        if seed or token not in allowed:
            token = int(chance.choice(allowed))
        began = time.thread_time()
        goes_on = grammar.accept_tokens("", [token]) and not grammar.is_terminated()
        accepted_s = time.thread_time() - began
        if max(filled_s, accepted_s) > _SLOWEST_STEP_S:
            return False
        slow_s += max(0.0, filled_s + accepted_s - SLOW_STEP_S)
        if not goes_on:
            break
    return slow_s <= _SLOW_STEPS_S and not _has_failed(grammar)


def _has_failed(grammar: Any) -> bool:
    """Return whether a grammar of llguidance went beyond a limit of that library."""
    matcher = getattr(grammar, "ll_matcher", None)
    return matcher is not None and bool(matcher.get_error())


def _in_child(attempt: Callable[[], Verdict]) -> Verdict:
    """Run an attempt in a child process that is killed after the CPU time of a trial."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.close(reads)
            _limit()
            os.write(writes, json.dumps(_answer(attempt)).encode())
        os._exit(0)
    os.close(writes)
    ready, _, _ = select.select([reads], [], [], _TRIAL_WALL_S)
    answer = os.read(reads, select.PIPE_BUF) if ready else b""
    os.close(reads)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    _, _, used = os.wait4(pid, 0)
    cpu_s = used.ru_utime + used.ru_stime
    if answer:
        verdict = Verdict(*json.loads(answer))
    else:
        verdict = Verdict("too_complex" if ready else "no_time")
    return verdict._replace(cpu_s=cpu_s)


def _limit() -> None:
    die_with_parent()
    os.nice(_NICENESS)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    signal.setitimer(signal.ITIMER_PROF, TRIAL_CPU_S)


def _answer(attempt: Callable[[], Verdict]) -> Verdict:
    """Return the verdict, for any error too. It fits into what a pipe takes at once."""
    from vllm.exceptions import VLLMValidationError

    try:
        return attempt()
    except VLLMValidationError as e:
        return Verdict("invalid", message=str(e)[: select.PIPE_BUF // 8])
    except MemoryError:
        return Verdict("too_complex")
    except Exception:  # noqa: BLE001 - vLLM and the libraries can raise anything
        return Verdict("invalid", message=_UNKNOWN)
