"""The program of the sandbox container, as bytes.

The first process of every pod only has to exist, reap orphans when the pod shares one process namespace, and end on
SIGTERM or SIGINT. That is a dozen system calls, so the machine code is written down here: no compiler, no download
and no registry is needed to start a pod, the file has under 300 bytes, and a waiting pod costs one page of memory.

With every signal blocked, `rt_sigtimedwait` waits for any of them (a blocked signal is queued even for process 1,
whose default actions the kernel ignores); then all dead children are waited for, and again.
"""

from __future__ import annotations

import struct

_LOAD_ADDRESS = 0x400000
_HEADERS = 64 + 56
_ALL_SIGNALS = b"\xff" * 8


class UnknownMachine(ValueError):
    """There is no machine code for this architecture here."""


def program(machine: str) -> bytes:
    """A static ELF executable for `x86_64` or `aarch64` (as `platform.machine()` names them). Raises UnknownMachine."""
    if machine == "x86_64":
        return _elf(62, _x86_64())
    if machine in ("aarch64", "arm64"):
        return _elf(183, _aarch64())
    raise UnknownMachine(f"no pause program for {machine}")


def _elf(machine: int, code: bytes) -> bytes:
    size = _HEADERS + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)  # 64 bits, little endian, System V
    entry = _LOAD_ADDRESS + _HEADERS
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    readable_executable = 5
    segment = struct.pack("<IIQQQQQQ", 1, readable_executable, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x10000)
    return header + segment + code


def _x86_64() -> bytes:
    parts: list[bytes | tuple[bytes, str, int] | str] = [
        b"\xb8\x0e\x00\x00\x00",  # mov eax, 14 (rt_sigprocmask)
        b"\x31\xff",  # xor edi, edi (SIG_BLOCK)
        (b"\x48\x8d\x35", "mask", 4),  # lea rsi, [mask]
        b"\x31\xd2",  # xor edx, edx
        b"\x41\xba\x08\x00\x00\x00",  # mov r10d, 8
        b"\x0f\x05",  # syscall
        "wait",
        b"\xb8\x80\x00\x00\x00",  # mov eax, 128 (rt_sigtimedwait)
        (b"\x48\x8d\x3d", "mask", 4),  # lea rdi, [mask]
        b"\x31\xf6",  # xor esi, esi
        b"\x31\xd2",  # xor edx, edx (no time limit)
        b"\x41\xba\x08\x00\x00\x00",  # mov r10d, 8
        b"\x0f\x05",  # syscall
        b"\x83\xf8\x0f",  # cmp eax, SIGTERM
        (b"\x74", "exit", 1),  # je exit
        b"\x83\xf8\x02",  # cmp eax, SIGINT
        (b"\x74", "exit", 1),  # je exit
        "reap",
        b"\xb8\x3d\x00\x00\x00",  # mov eax, 61 (wait4)
        b"\xbf\xff\xff\xff\xff",  # mov edi, -1
        b"\x31\xf6",  # xor esi, esi
        b"\xba\x01\x00\x00\x00",  # mov edx, WNOHANG
        b"\x45\x31\xd2",  # xor r10d, r10d
        b"\x0f\x05",  # syscall
        b"\x85\xc0",  # test eax, eax
        (b"\x7f", "reap", 1),  # jg reap
        (b"\xeb", "wait", 1),  # jmp wait
        "exit",
        b"\xb8\x3c\x00\x00\x00",  # mov eax, 60 (exit)
        b"\x31\xff",  # xor edi, edi
        b"\x0f\x05",  # syscall
        "mask",
        _ALL_SIGNALS,
    ]
    labels: dict[str, int] = {}
    at = 0
    for part in parts:
        if isinstance(part, str):
            labels[part] = at
        else:
            at += len(part) if isinstance(part, bytes) else len(part[0]) + part[2]
    code = b""
    for part in parts:
        if isinstance(part, bytes):
            code += part
        elif not isinstance(part, str):
            opcode, label, width = part
            distance = labels[label] - (len(code) + len(opcode) + width)
            code += opcode + distance.to_bytes(width, "little", signed=True)
    return code


def _aarch64() -> bytes:
    def mov(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def compare(value: int) -> int:
        return 0x7100001F | value << 10  # cmp w0, #value

    call = 0xD4000001  # svc #0
    minus_one = 0x92800000  # mov x0, #-1
    equal, greater = 0, 12
    # (kind, label, operand): "adr" register, "if" condition, "b" always
    parts: list[int | tuple[str, str, int] | str] = [
        mov(8, 135), mov(0, 0), ("adr", "mask", 1), mov(2, 0), mov(3, 8), call,  # rt_sigprocmask
        "wait",
        mov(8, 137), ("adr", "mask", 0), mov(1, 0), mov(2, 0), mov(3, 8), call,  # rt_sigtimedwait
        compare(15), ("if", "exit", equal), compare(2), ("if", "exit", equal),
        "reap",
        mov(8, 260), minus_one, mov(1, 0), mov(2, 1), mov(3, 0), call,  # wait4
        compare(0), ("if", "reap", greater), ("b", "wait", 0),
        "exit",
        mov(8, 93), mov(0, 0), call,
        "mask",
    ]  # fmt: skip
    labels: dict[str, int] = {}
    at = 0
    for part in parts:
        if isinstance(part, str):
            labels[part] = at
        else:
            at += 4
    code = b""
    for part in parts:
        if isinstance(part, str):
            continue
        if isinstance(part, int):
            word = part
        else:
            kind, label, operand = part
            distance = labels[label] - len(code)
            words = distance >> 2
            if kind == "adr":
                word = 0x10000000 | (distance & 3) << 29 | (words & 0x7FFFF) << 5 | operand
            elif kind == "if":
                word = 0x54000000 | (words & 0x7FFFF) << 5 | operand
            else:
                word = 0x14000000 | words & 0x3FFFFFF
        code += word.to_bytes(4, "little")
    return code + _ALL_SIGNALS
