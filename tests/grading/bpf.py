"""A small interpreter of classic BPF, so that the filters of all architectures are tested here."""

from __future__ import annotations

import struct


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
