"""Sources that attack the sandbox, each with a part of the error that they must end in.

Run as a script it prints the outcomes of SOURCES as JSON.
"""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import json
import os
import sys

from service.grading.errors import ItemFailed
from service.grading.sandbox.sandbox import Sandbox

_HEAD = """
def module(name):
    return __import__("sys").modules[name]
os = module("os")
"""


def source(body: str) -> str:
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"{_HEAD}\ndef grade(sample, item):\n{indented}\n"


def _syscall(*numbers: int) -> str:
    """Call system calls directly and return 1 if all fail with EPERM."""
    return f"""
c = module("ctypes")
libc = c.CDLL(None, use_errno=True)
for number in {numbers}:
    c.set_errno(0)
    if libc.syscall(number, 0, 0, 0, 0, 0, 0) != -1 or c.get_errno() != 1:
        raise ValueError(number)
raise PermissionError("all refused")
"""


REFUSED = "PermissionError"
LOOPS: dict[str, tuple[str, str]] = {
    "endless loop": (source("while True: pass"), "took more than"),
    "long sleep": (source("module('time').sleep(3600)"), "took more than"),
    "endless loop on import": (_HEAD + "while True: pass\ndef grade(s, i): pass", "took more than"),
    "read the pipe": (source("os.read(0, 1)"), "took more than"),
}  # fmt: skip
SOURCES: dict[str, tuple[str, str]] = {
    "fork": (source("os.fork()"), REFUSED),
    "shell": (source("os.system('touch /tmp/owned')\nraise OSError(os.system('true'))"), "OSError: 32512"),
    "spawn": (source("os.posix_spawn('/bin/sh', ['sh'], {})"), REFUSED),
    "exec": (source("os.execv('/bin/sh', ['sh'])"), REFUSED),
    "thread": (source("__import__('_thread').start_new_thread(print, ())"), "RuntimeError"),
    "open": (source("open('/etc/passwd')"), REFUSED),
    "create": (source("open('/tmp/owned', 'w')"), REFUSED),
    "list": (source("os.listdir('/')"), REFUSED),
    "delete": (source("os.unlink('/tmp/owned')"), REFUSED),
    "environment of the parent": (source("open('/proc/PARENT/environ')"), REFUSED),
    "own environment": (source("raise ValueError(sorted(os.environ))"), "ValueError: ['LANG', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS']"),
    "memory of the parent": (source("open('/proc/PARENT/mem')"), REFUSED),
    "memory file": (source("os.memfd_create('x')"), REFUSED),
    "pipe": (source("os.pipe()"), REFUSED),
    "signal itself": (source("os.kill(os.getpid(), 0)"), REFUSED),
    "kill the parent": (source("os.kill(PARENT, 9)"), REFUSED),
    "signal all processes": (source("os.kill(-1, 0)"), REFUSED),
    "socket": (source("__import__('_socket').socket()"), "Error"),
    "raise limits": (source("r = module('resource')\nr.setrlimit(r.RLIMIT_AS, (-1, -1))"), "Error"),
    "privileges": (source("os.setuid(0)"), REFUSED),
    "10 GB": (source("return len(bytearray(10 * 2**30))"), "MemoryError"),
    "10 GB in pieces": (source("kept = []\nwhile True: kept.append(bytearray(2**24))"), "MemoryError"),
    "print 1 GB": (source("for _ in range(1024): print('x' * 2**20)\nraise ValueError('printed')"), "ValueError: printed"),
    "write 1 GB": (source("while True: os.write(1, b'x' * 2**20)"), "standard output"),
    "write 1 GB of lines": (source("while True: os.write(1, b'{}\\n' * 2**16)"), "standard output"),
    "write to stderr": (source("os.write(2, b'x')"), REFUSED),
    "false reply": (source("os.write(1, b'{\"number\": 99, \"score\": 1}\\n')"), "standard output"),
    "false reply of another kind": (source("os.write(1, b'[1]\\n')"), "standard output"),
    "deep JSON reply": (source("os.write(1, b'[' * 20000 + b'\\n')"), "standard output"),
    "close the pipe": (source("os.close(1)"), REFUSED),
    "deep recursion": (source("return grade(sample, item)"), "RecursionError"),
    "deep recursion in C": (source("module('sys').setrecursionlimit(10**9)\nreturn sorted([0, 0], key=lambda _: grade(sample, item))"), "SIGSEGV"),
    "bad pointer": (source("module('ctypes').string_at(1)"), "SIGSEGV"),
    "exception": (source("raise KeyError('no such key')"), "KeyError: 'no such key' (line 7)"),
    "huge exception": (source("raise ValueError('x' * 10**7)"), "ValueError: xxx"),
    "NaN": (source("return float('nan')"), "finite number"),
    "infinity": (source("return 1e999"), "finite number"),
    "text": (source("return '1'"), "must return a number, and returned str"),
    "None": (source("return None"), "must return a number, and returned NoneType"),
    "sys.exit": (source("module('sys').exit(0)"), "SystemExit: 0"),
    "exit of the process": (source("os._exit(3)"), "exit code 3"),
    "abort": (source("os.abort()"), "The grader's process was ended"),
    "interrupt": (source("raise KeyboardInterrupt"), "KeyboardInterrupt"),
    "error that raises": (source("class E(Exception):\n    def __str__(self): raise self\nraise E"), "E (line"),
    "executable memory": (source("""
c = module("ctypes")
libc = c.CDLL(None)
libc.mmap.restype = c.c_void_p
if libc.mmap(0, 4096, 7, 0x22, -1, 0) == c.c_void_p(-1).value: raise PermissionError
"""), REFUSED),
    "patched json": (source("module('json').dumps = lambda *a, **k: 'x' * 10**6"), "standard output"),
}  # fmt: skip

if sys.platform == "linux" and __import__("platform").machine() == "x86_64":
    # open, socket, clone, fork, vfork, execve, kill, ptrace, prctl, mount, openat, unshare, bpf,
    # io_uring_setup, clone3, process_vm_readv, openat2
    numbers = (2, 41, 56, 57, 58, 59, 62, 101, 157, 165, 257, 272, 321, 425, 435, 310, 437)
    SOURCES["system calls"] = (source(_syscall(*numbers)), "PermissionError: all refused")
    SOURCES["system calls of x32"] = (source(_syscall(2**30 + 2, 2**30 + 41)), "all refused")


async def attack(
    sources: dict[str, tuple[str, str]], *, item_timeout_s: float = 120
) -> dict[str, str]:
    """Run every source, and an honest one in the end. Returns the errors by name."""
    outcomes: dict[str, str] = {}
    async with Sandbox(item_timeout_s=item_timeout_s, start_timeout_s=120) as sandbox:
        for name, (code, _) in sources.items():
            try:
                attacking = code.replace("PARENT", str(os.getpid()))
                outcomes[name] = f"score {await sandbox.grade(attacking, {}, {})}"
            except ItemFailed as failed:
                outcomes[name] = failed.error.message
        honest = await sandbox.grade("def grade(sample, item):\n    return item['x']", {}, {"x": 3})
    return {**outcomes, "honest": str(honest)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(attack(SOURCES))))
