"""Installs a seccomp filter that allows only memory, clock, pipe and exit system calls.

Every other system call fails with EPERM: the process can open no file, create no process, thread or
socket, send no signal, and make no memory executable. The filter needs no privileges and cannot be
removed. It is small enough to write by hand, so images need no system library for it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1
_FLAG_TSYNC: Final = 1  # every thread of the process

_KILL: Final = 0x8000_0000
_ALLOW: Final = 0x7FFF_0000
_DENY: Final = 0x0005_0000 | errno.EPERM

# Instructions of classic BPF, and offsets in struct seccomp_data.
_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_JUMP_IF_BITS: Final = 0x45
_RETURN: Final = 0x06
_NUMBER: Final = 0
_ARCH: Final = 4
_FIRST_ARGUMENT: Final = 16  # the lower half on little-endian machines
_THIRD_ARGUMENT: Final = 32
_PROT_EXEC: Final = 4
_X32_CALLS: Final = 0x4000_0000
_STDIN: Final = 0
_STDOUT: Final = 1


@dataclass(frozen=True)
class _Arch:
    """Numbers of system calls of one architecture, from the kernel's headers."""

    audit: int
    seccomp: int
    read: int
    write: int
    mmap: int
    mprotect: int
    others: tuple[int, ...]


# others: munmap, brk, mremap, madvise, futex, sched_yield, exit, exit_group, clock_gettime,
# clock_getres, clock_nanosleep, nanosleep, gettimeofday, getrandom, getpid, gettid, getcpu,
# rt_sigaction, rt_sigprocmask, rt_sigreturn, sigaltstack, restart_syscall, membarrier, rseq,
# and on x86_64 time.
_ARCHS: Final = {
    "x86_64": _Arch(
        audit=0xC000_003E,
        seccomp=317,
        read=0,
        write=1,
        mmap=9,
        mprotect=10,
        others=(
            *(11, 12, 25, 28, 202, 24, 60, 231, 228, 229, 230, 35, 96, 318, 39, 186, 309),
            *(13, 14, 15, 131, 219, 324, 334, 201),
        ),
    ),
    "aarch64": _Arch(
        audit=0xC000_00B7,
        seccomp=277,
        read=63,
        write=64,
        mmap=222,
        mprotect=226,
        others=(
            *(215, 214, 216, 233, 98, 124, 93, 94, 113, 114, 115, 101, 169, 278, 172, 178, 168),
            *(134, 135, 139, 132, 128, 283, 293),
        ),
    ),
}


class Unavailable(OSError):
    """This machine cannot install the filter."""


def install() -> None:
    """Install the filter in this process, for good. Raises Unavailable."""
    arch = _ARCHS.get(platform.machine())
    if sys.platform != "linux" or arch is None:
        raise Unavailable(f"seccomp filters need Linux on {' or '.join(_ARCHS)}")
    program = assemble(arch)
    code = ctypes.create_string_buffer(program)
    # struct sock_fprog: a length in instructions, and a pointer to them.
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise Unavailable(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS) failed")
    if libc.syscall(arch.seccomp, _SECCOMP_SET_MODE_FILTER, _FLAG_TSYNC, header) != 0:
        raise Unavailable(ctypes.get_errno(), "the kernel or the container refuses seccomp filters")
    _verify()


def assemble(arch: _Arch) -> bytes:
    """Return the filter as instructions of classic BPF."""
    program = [
        _op(_LOAD, _ARCH),
        _op(_JUMP_EQUAL, arch.audit, 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER),
        _op(_JUMP_AT_LEAST, _X32_CALLS, 0, 1),
        _op(_RETURN, _DENY),
    ]
    for number in arch.others:
        program += [_op(_JUMP_EQUAL, number, 0, 1), _op(_RETURN, _ALLOW)]
    for number, descriptor in ((arch.read, _STDIN), (arch.write, _STDOUT)):
        program += [
            _op(_JUMP_EQUAL, number, 0, 4),
            _op(_LOAD, _FIRST_ARGUMENT),
            _op(_JUMP_EQUAL, descriptor, 0, 1),
            _op(_RETURN, _ALLOW),
            _op(_RETURN, _DENY),
        ]
    for number in (arch.mmap, arch.mprotect):
        program += [
            _op(_JUMP_EQUAL, number, 0, 4),
            _op(_LOAD, _THIRD_ARGUMENT),
            _op(_JUMP_IF_BITS, _PROT_EXEC, 1, 0),
            _op(_RETURN, _ALLOW),
            _op(_RETURN, _DENY),
        ]
    return b"".join([*program, _op(_RETURN, _DENY)])


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Encode one instruction. Jumps skip the given number of instructions."""
    return struct.pack("@HBBI", code, if_true, if_false, value)


def _verify() -> None:
    """Check that the filter acts. Some emulated kernels accept it and ignore it."""
    try:
        os.close(os.open("/", os.O_RDONLY))
    except PermissionError:
        return
    raise Unavailable("the kernel accepts seccomp filters but does not apply them")
