"""The sandbox of Python graders, attacked as root, without capabilities, and as nobody."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from service.grading.errors import ItemFailed
from service.grading.sandbox import seccomp
from service.grading.sandbox.modules import SourceInvalid, imported_modules
from service.grading.sandbox.sandbox import MAX_REQUEST_BYTES, Sandbox
from tests.grading.hostile import LOOPS, SOURCES, attack


def run(program: bytes, data: bytes) -> int:
    """Return the value that a seccomp filter returns for a `struct seccomp_data`."""
    instructions = [struct.unpack_from("@HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return value
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            at += if_true if holds else if_false


ROOT = Path(__file__).parents[2]
HONEST = "def grade(sample, item):\n    return item['x'] / 2\n"


def judge(outcomes: dict[str, str], sources: dict[str, tuple[str, str]]) -> None:
    wrong = {n: outcomes[n] for n, (_, part) in sources.items() if part not in outcomes[n]}
    assert not wrong
    assert outcomes["honest"] == "3.0"
    assert not Path("/tmp/owned").exists()


def children() -> list[psutil.Process]:
    """Return the running children of sandboxes of this process."""
    return [child for child in psutil.Process().children() if _is_of_a_sandbox(child)]


def _is_of_a_sandbox(process: psutil.Process) -> bool:
    try:
        return "sandbox.child" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has ended since
        return False


async def failure(sandbox: Sandbox, source: str) -> ItemFailed:
    with pytest.raises(ItemFailed) as failed:
        await sandbox.grade(source, {}, {})
    return failed.value


async def test_many_items_go_through_one_child() -> None:
    async with Sandbox() as sandbox:
        scores = await asyncio.gather(*(sandbox.grade(HONEST, {}, {"x": x}) for x in range(50)))
        (child,) = children()
    assert scores == [x / 2 for x in range(50)]
    assert not child.is_running()


async def test_the_sample_and_the_item_arrive_as_they_are() -> None:
    source = "def grade(sample, item):\n    return (sample, item) == ({'a': 'é{'}, {'x': None})"
    async with Sandbox() as sandbox:
        assert await sandbox.grade(source, {"a": "é{"}, {"x": None}) == 1.0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return True", 1.0),
        ("return 3", 3.0),
        ("import numpy as np\nreturn np.float32(0.5)", 0.5),
        ("import numpy.linalg\nreturn numpy.linalg.norm([3, 4])", 5.0),
        ("from rapidfuzz import fuzz\nreturn fuzz.ratio('ab', 'ab') / 100", 1.0),
        ("from collections.abc import Mapping\nreturn isinstance(item, Mapping)", 1.0),
        ("import datetime as d\nreturn d.datetime.strptime('2026', '%Y').year", 2026.0),
        ("import pydantic\nreturn pydantic.TypeAdapter(int).validate_python('1')", 1.0),
        ("import hashlib, random, re, statistics, json, yaml\nreturn yaml.safe_load('1')", 1.0),
        ("from urllib.parse import urlparse\nreturn urlparse('http://a:8/').port", 8.0),
        ("from decimal import Decimal\nreturn Decimal('0.25')", 0.25),
    ],
)
async def test_numbers_and_available_modules(body: str, expected: float) -> None:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    async with Sandbox() as sandbox:
        assert await sandbox.grade(f"def grade(sample, item):\n{lines}", {}, {}) == expected


@pytest.mark.slow
async def test_hostile_sources_end_in_an_error_of_their_item() -> None:
    judge(await attack(SOURCES), SOURCES)


@pytest.mark.slow
async def test_endless_sources_are_ended() -> None:
    judge(await attack(LOOPS, item_timeout_s=2), LOOPS)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make importable what the extra `graders` installs; `make install` puts it there."""
    folder = Path(sys.prefix) / "graders"
    assert folder.is_dir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])


_IMPORTS = """
import jsonschema, nltk, pandas as pd, pydantic, scipy, sqlparse, sympy
import sklearn.cluster as clusters
from deepdiff import DeepDiff
from jsonschema import ValidationError, validate
from nltk.stem import PorterStemmer
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from pydantic import BaseModel, Field, TypeAdapter
from rouge_score import rouge_scorer
from scipy import stats
from scipy.spatial.distance import cosine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.metrics.pairwise import cosine_similarity
from sympy.parsing.sympy_parser import parse_expr
"""
_USES = """
class Answer(BaseModel):
    n: int = Field(ge=0)

def numbers():
    yield scipy.special.gamma(2) + stats.ttest_ind([1, 2, 3], [1, 2, 3]).pvalue - 1
    yield 1 - cosine([1, 0], [1, 0])
    yield sentence_bleu([list("abcd")], list("abcd"),
                        smoothing_function=SmoothingFunction().method1)
    yield len(nltk.wordpunct_tokenize("a b")) - nltk.edit_distance("a", "b")
    yield PorterStemmer().stem("opened") == "open"
    yield rouge_scorer.RougeScorer(["rouge1", "rougeLsum"], use_stemmer=True).score(
        "it opened", "it opens")["rouge1"].fmeasure
    frame = pd.DataFrame({"a": [1, 1], "d": pd.to_datetime(["2026-01-01", "2026-02-01"])})
    str(frame), frame.to_csv(), frame.to_json(), frame.describe(), frame.merge(frame, on="a")
    yield frame.query("a > 0").groupby("a").a.mean()[1]
    yield f1_score([1, 0], [1, 0])
    texts = TfidfVectorizer().fit_transform(["we open", "we open"])
    yield cosine_similarity(texts)[0, 1]
    yield len(set(clusters.KMeans(2, n_init=1).fit([[0], [5]]).labels_)) - 1
    yield not DeepDiff({"a": [1, 2]}, {"a": [2, 1]}, ignore_order=True)
    yield len(sqlparse.parse(sqlparse.format("select 1", reindent=True)))
    yield float(sympy.solve(parse_expr("x - 1"))[0])
    yield Answer.model_validate_json('{"n": 1}').n
    yield TypeAdapter(int).validate_python("1")
    try:
        pydantic.TypeAdapter(Answer).validate_python({"n": -1})
    except pydantic.ValidationError as error:
        yield len(error.errors())
    jsonschema.Draft7Validator({"type": "object"}).validate({})
    try:
        validate(1, {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"})
    except ValidationError as error:
        yield "string" in error.message

def grade(sample, item):
    found = [float(number) for number in numbers()]
    return len(found) if all(abs(number - 1) < 1e-6 for number in found) else str(found)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("libraries")
async def test_the_libraries_of_openai_work_in_the_sandbox() -> None:
    async with Sandbox(item_timeout_s=120, start_timeout_s=240) as sandbox:
        assert await sandbox.grade(_IMPORTS + _USES, {}, {}) == 17


_ATTACKS = """
import pandas as pd, scipy.stats
sys = __import__("sys")
os = sys.modules["os"]

def attacks():
    yield lambda: pd.read_csv("/etc/passwd")
    yield lambda: pd.read_csv("http://127.0.0.1:1/x")
    yield lambda: pd.DataFrame({"a": [1]}).to_csv("/tmp/owned")
    yield lambda: os.listdir("/")
    yield lambda: os.fork()
    yield lambda: sys.modules["_socket"].socket()
    yield lambda: sys.modules["_thread"].start_new_thread(print, ())
    yield lambda: sys.modules["subprocess"].run(["true"])
    yield lambda: bytearray(2 * 2**30)

def grade(sample, item):
    refused = 0
    for attack in attacks():
        try:
            attack()
        except (OSError, RuntimeError, MemoryError, ImportError):
            refused += 1
    return refused
"""


@pytest.mark.slow
@pytest.mark.usefixtures("libraries")
async def test_the_sandbox_holds_with_libraries() -> None:
    async with Sandbox(item_timeout_s=120, start_timeout_s=240) as sandbox:
        assert await sandbox.grade(_ATTACKS, {}, {}) == 9
    assert not Path("/tmp/owned").exists()


async def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    if find_spec("sklearn") is not None:
        pytest.skip("scikit-learn is installed here")
    source = "from sklearn import metrics\nimport scipy.stats, re\n" + HONEST
    async with Sandbox() as sandbox:
        error = str(await failure(sandbox, source))
    assert "imports scipy, sklearn, which this machine lacks. Install the extra 'graders'" in error


async def test_data_that_nltk_lacks_is_named() -> None:
    source = "import nltk\ndef grade(sample, item):\n    return len(nltk.word_tokenize('a b'))"
    async with Sandbox() as sandbox:
        error = str(await failure(sandbox, source))
    assert error == (
        "LookupError: The data of NLTK, such as punkt and wordnet, is not available to graders. "
        "(line 3)"
    )


async def test_modules_that_a_library_lacks_are_errors_of_the_source() -> None:
    async with Sandbox() as sandbox:
        for line in ("import pydantic.nothing", "from pydantic import nothing"):
            error = str(await failure(sandbox, f"x = 1\n{line}\n{HONEST}"))
            assert "nothing" in error
            assert "line 2" in error


def _python_of_nobody() -> str:
    """Return a Python that nobody may run, and whose children may run it too."""
    code = (
        "import subprocess as s, sys; s.run([sys.executable, '-c', 'import tomllib'], check=True)"
    )
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        run = [*_SETPRIV["nobody"], str(python), "-c", code]
        if python and subprocess.run(run, capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("nobody can run no Python 3.11 here")


_SETPRIV = {
    "without capabilities": ["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
    "nobody": ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
}


@pytest.mark.slow
@pytest.mark.parametrize("privileges", _SETPRIV)
def test_the_sandbox_holds_with_fewer_privileges(privileges: str) -> None:
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to give privileges up")
    python = _python_of_nobody() if privileges == "nobody" else sys.executable
    ran = subprocess.run(
        [*_SETPRIV[privileges], python, "-B", "-m", "tests.grading.hostile"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=240,
    )
    judge(json.loads(ran.stdout), SOURCES)


async def test_a_source_that_keeps_failing_is_not_run_again() -> None:
    source = "def grade(sample, item):\n    __import__('sys').modules['os']._exit(1)"
    async with Sandbox() as sandbox:
        for _ in range(3):
            assert "exit code 1" in str(await failure(sandbox, source))
        assert "not run again" in str(await failure(sandbox, source))
        assert await sandbox.grade(HONEST, {}, {"x": 1}) == 0.5


async def test_errors_of_the_source_do_not_end_its_child() -> None:
    source = "n = 0\ndef grade(sample, item):\n    global n\n    n += 1\n    return n / item['x']"
    async with Sandbox() as sandbox:
        for _ in range(5):
            assert "ZeroDivisionError" in str(await _fails(sandbox, source, {"x": 0}))
        assert await sandbox.grade(source, {}, {"x": 1}) == 6.0


async def _fails(sandbox: Sandbox, source: str, item: dict[str, int]) -> ItemFailed:
    with pytest.raises(ItemFailed) as failed:
        await sandbox.grade(source, {}, item)
    return failed.value


async def test_more_sources_than_children_take_turns() -> None:
    sources = [f"def grade(sample, item):\n    return item['x'] + {n}\n" for n in range(5)]
    async with Sandbox(max_children=2) as sandbox:
        for x in range(2):
            scores = await asyncio.gather(*(sandbox.grade(s, {}, {"x": x}) for s in sources))
            assert scores == [x + n for n in range(5)]
            assert len(children()) <= 2


async def test_a_canceled_item_ends_its_child() -> None:
    async with Sandbox() as sandbox:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await sandbox.grade(LOOPS["endless loop"][0], {}, {})
        assert not children()
        assert await sandbox.grade(HONEST, {}, {"x": 1}) == 0.5


async def test_a_long_item_is_refused() -> None:
    async with Sandbox() as sandbox:
        with pytest.raises(ItemFailed, match="limit of Python graders"):
            await sandbox.grade(HONEST, {}, {"x": "x" * MAX_REQUEST_BYTES})


async def test_errors_on_import_name_the_line() -> None:
    async with Sandbox() as sandbox:
        assert str(await failure(sandbox, "x = 1 / 0\n" + HONEST)) == (
            "ZeroDivisionError: division by zero (line 1)"
        )
        assert "line 2" in str(await failure(sandbox, "x = 1\nimport socket\n" + HONEST))


_ORPHAN = """
import asyncio
from service.grading.sandbox.sandbox import Sandbox
from tests.grading.hostile import LOOPS

async def main():
    async with Sandbox(item_timeout_s=600) as sandbox:
        await sandbox.grade(LOOPS["endless loop"][0], {}, {})

asyncio.run(main())
"""


def test_a_child_dies_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _ORPHAN], cwd=ROOT)
    try:
        child = _wait_for_child(parent.pid)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    gone, _ = psutil.wait_procs([child], timeout=60)
    assert gone


def _wait_for_child(parent: int) -> psutil.Process:
    """Wait for a child that is locked down and loops."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for child in psutil.Process(parent).children():
            if "Seccomp:\t2" in Path(f"/proc/{child.pid}/status").read_text():
                return child
        time.sleep(0.05)
    raise AssertionError("no child was locked down")


def test_a_machine_without_filters_is_named() -> None:
    # A filter that refuses further filters, as strict containers have. The child inherits it.
    arch = seccomp._ARCHS[os.uname().machine]
    script = f"""
import asyncio, ctypes, struct
from service.grading.errors import ItemFailed
from service.grading.sandbox.sandbox import Sandbox
op = lambda code, value, yes=0, no=0: struct.pack("@HBBI", code, yes, no, value)
program = (op(0x20, 0) + op(0x15, {arch.seccomp}, 0, 1) + op(0x06, 0x50000 | 38)
           + op(0x06, 0x7fff0000))
code = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
assert libc.syscall({arch.seccomp}, 1, 0, header) == 0
async def main():
    async with Sandbox() as sandbox:
        try:
            await sandbox.grade("def grade(sample, item):\\n    return 1.0\\n", None, {{}})
        except ItemFailed as failed:
            print(failed.error.message)
asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "cannot lock down Python graders" in ran.stdout
    assert "refuses seccomp filters" in ran.stdout


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def grade(sample, item) return 1", "syntax error in line 1"),
        ("x = 1", "must define the function grade"),
        ("grade = len", "must define the function grade"),
        ("async def grade(sample, item): pass", "must not be async"),
        ("def grade(sample): pass", "two arguments"),
        ("def grade(sample, item, more): pass", "two arguments"),
        ("def grade(sample, item, *, more): pass", "two arguments"),
        ("import requests\n" + HONEST, "imports 'requests' in line 1"),
        ("from os import path\n" + HONEST, "imports 'os' in line 1"),
        ("from . import x\n" + HONEST, "imports '.' in line 1"),
        ("import numpy.f2py\n" + HONEST, "imports 'numpy.f2py'"),
        ("import rdkit\n" + HONEST, "imports 'rdkit' in line 1"),
        ("def grade(sample, item):\n    import socket", "imports 'socket' in line 2"),
        ("x = '\0'\n" + HONEST, "null"),
        ("x = " + "(" * 5000 + ")" * 5000, "cannot be parsed|syntax error"),
        ("x = " + "-" * 100_000 + "1", "cannot be parsed|syntax error"),
    ],
)
def test_sources_are_checked_without_running_them(source: str, message: str) -> None:
    with pytest.raises(SourceInvalid, match=message):
        imported_modules(source)


@pytest.mark.parametrize(
    "source",
    [
        "def grade(sample, item): pass",
        "def grade(*args): pass",
        "def grade(sample, item, more=1): pass",
        "def grade(sample, item=None): pass",
        'import re\nx = re.compile("\\d")\ndef grade(sample, item): pass',
    ],
)
def test_usual_sources_pass(source: str) -> None:
    imported_modules(source)


@pytest.mark.parametrize("name", seccomp._ARCHS)
def test_filters_of_every_architecture(name: str) -> None:
    arch = seccomp._ARCHS[name]
    program = seccomp.assemble(arch)
    allow, deny, kill = 0x7FFF0000, 0x50001, 0x80000000

    def verdict(number: int, *args: int, audit: int = arch.audit) -> int:
        padded = [*args, *[0] * (6 - len(args))]
        return run(program, struct.pack("=IIQ6Q", number, audit, 0, *padded))

    assert {verdict(number) for number in arch.others} == {allow}
    assert verdict(arch.read, 0) == allow
    assert verdict(arch.read, 3) == deny
    assert verdict(arch.write, 1) == allow
    assert verdict(arch.write, 2) == deny
    for number in (arch.mmap, arch.mprotect):
        assert verdict(number, 0, 4096, 3) == allow
        assert verdict(number, 0, 4096, 7) == deny
    allowed = {*arch.others, arch.read, arch.write, arch.mmap, arch.mprotect}
    assert {verdict(number) for number in range(600) if number not in allowed} == {deny}
    assert verdict(0x40000000 + arch.read, 0) == deny
    assert verdict(arch.read, 0, audit=0x40000003) == kill


_HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
_CALLS = """munmap brk mremap madvise futex sched_yield exit exit_group clock_gettime clock_getres
clock_nanosleep nanosleep gettimeofday getrandom getpid gettid getcpu rt_sigaction rt_sigprocmask
rt_sigreturn sigaltstack restart_syscall membarrier rseq"""


@pytest.mark.parametrize("name", seccomp._ARCHS)
def test_numbers_are_those_of_the_kernel_headers(name: str) -> None:
    if not _HEADERS[name].exists():
        pytest.skip(f"{_HEADERS[name]} is not installed")
    numbers = {}
    for line in _HEADERS[name].read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR") and words[2].isdecimal():
            numbers[words[1].removeprefix("__NR3264_").removeprefix("__NR_")] = int(words[2])
    arch = seccomp._ARCHS[name]
    expected = [numbers[call] for call in _CALLS.split()] + (
        [numbers["time"]] if name == "x86_64" else []
    )
    assert list(arch.others) == expected
    for call in ("read", "write", "mmap", "mprotect", "seccomp"):
        assert getattr(arch, call) == numbers[call]
