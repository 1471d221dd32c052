"""Flags as pflag reads them: `--name=value`, `--name value`, `-n value`, `-nvalue`, `-it`, anywhere before `--`.

A command declares its flags as words of one string, so that all of them can be seen at once:

    output=            text            selector=none     text with a default
    watch?             true or false   wait?true         true unless `--wait=false`
    filename*          text, repeatable
    label-columns,     repeatable, and split at commas
    tail#-1            a number
    dry-run~unchanged  text whose value may be left out (only `--dry-run=VALUE` gives one); `~value:default`
    o:output=          the letter before the colon is the short form
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pybernetes.cli.errors import CLIError

_WORD = re.compile(r"(?:(?P<short>[A-Za-z]):)?(?P<name>[a-z][a-z0-9-]*)(?P<type>[=?*,#~])(?P<rest>.*)")

#: Flags of every command.
GLOBAL = (
    "kubeconfig= context= cluster= user= n:namespace= s:server= token= as= as-group* as-uid= as-user-extra* "
    "cache-dir= certificate-authority= client-certificate= client-key= insecure-skip-tls-verify? "
    "tls-server-name= request-timeout=0 username= password= v:v#0 disable-compression? kuberc= "
    "match-server-version? proxy-url= log-flush-frequency=5s vmodule= warnings-as-errors? h:help? "
    "profile=none profile-output=profile.pprof"
)


@dataclass(frozen=True)
class Flag:
    """One declared flag. `kind` is the character of the notation; `bare` the value of a flag given without one."""

    name: str
    short: str
    kind: str
    default: Any
    bare: str = ""


def declare(words: str) -> dict[str, Flag]:
    """The declared flags, by name."""
    found = {}
    for word in words.split():
        match = _WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"not a flag declaration: {word!r}")
        name, kind, rest = match["name"], match["type"], match["rest"]
        default: Any = rest
        bare = ""
        if kind == "?":
            default = rest == "true"
        elif kind in "*,":
            default = ()
        elif kind == "#":
            default = int(rest or 0)
        elif kind == "~":
            bare, _, default = rest.partition(":")
        found[name] = Flag(name, match["short"] or "", kind, default, bare)
    return found


class Flags:
    """The values of one command line."""

    def __init__(self, declared: dict[str, Flag]) -> None:
        self.declared = declared
        self._values: dict[str, Any] = {}
        #: How many arguments stood before `--`; -1 when there was none.
        self.dash = -1

    def given(self, name: str) -> bool:
        """True when the flag stood on the command line."""
        return name in self._values

    def text(self, name: str) -> str:
        """The value of a text flag."""
        return str(self._get(name))

    def on(self, name: str) -> bool:
        """The value of a true-or-false flag; False for one this command does not have."""
        return bool(self._get(name)) if name in self.declared else False

    def many(self, name: str) -> list[str]:
        """The values of a repeatable flag."""
        return list(self._get(name)) if name in self.declared else []

    def number(self, name: str) -> int:
        """The value of a number flag."""
        return int(self._get(name))

    def set(self, name: str, value: Any) -> None:
        """Set a value, as if it had been given."""
        self._values[name] = value

    def _get(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        return self.declared[name].default

    def take(self, flag: Flag, value: str, shown: str) -> None:
        """One occurrence on the command line. Raises CLIError for a value that does not fit."""
        if flag.kind == "?":
            if value.lower() not in ("true", "false", "t", "f", "1", "0"):
                raise _invalid(value, shown, f'strconv.ParseBool: parsing "{value}": invalid syntax')
            self._values[flag.name] = value.lower() in ("true", "t", "1")
        elif flag.kind == "#":
            try:
                self._values[flag.name] = int(value)
            except ValueError:
                raise _invalid(value, shown, f'strconv.ParseInt: parsing "{value}": invalid syntax') from None
        elif flag.kind == "*":
            self._values.setdefault(flag.name, []).append(value)
        elif flag.kind == ",":
            self._values.setdefault(flag.name, []).extend(value.split(","))
        else:
            self._values[flag.name] = value


def _invalid(value: str, shown: str, why: str) -> CLIError:
    return CLIError(f'invalid argument "{value}" for "{shown}" flag: {why}')


def parse(arguments: list[str], declared: dict[str, Flag], *, interspersed: bool = True) -> tuple[Flags, list[str]]:
    """The flags and the other arguments. Raises CLIError in upstream's words."""
    flags = Flags(declared)
    shorts = {f.short: f for f in declared.values() if f.short}
    rest: list[str] = []
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if word == "--":
            flags.dash = len(rest)
            rest.extend(queue)
            break
        if word.startswith("--"):
            _long(word, declared, flags, queue)
        elif word.startswith("-") and len(word) > 1:
            _short(word, shorts, flags, queue)
        else:
            rest.append(word)
            if not interspersed:
                rest.extend(queue)
                break
    return flags, rest


def _shown(flag: Flag) -> str:
    return f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"


def _long(word: str, declared: dict[str, Flag], flags: Flags, queue: list[str]) -> None:
    name, has_value, value = word[2:].partition("=")
    flag = declared.get(name)
    if flag is None:
        raise CLIError(f"unknown flag: --{name}")
    if not has_value:
        if flag.kind == "?":
            value = "true"
        elif flag.kind == "~":
            value = flag.bare
        elif queue:
            value = queue.pop(0)
        else:
            raise CLIError(f"flag needs an argument: --{name}")
    flags.take(flag, value, _shown(flag))


def _short(word: str, shorts: dict[str, Flag], flags: Flags, queue: list[str]) -> None:
    letters = word[1:]
    while letters:
        flag = shorts.get(letters[0])
        if flag is None:
            raise CLIError(f"unknown shorthand flag: '{letters[0]}' in {word}")
        letters = letters[1:]
        if letters.startswith("="):
            flags.take(flag, letters[1:], _shown(flag))
            return
        if flag.kind == "?":
            flags.take(flag, "true", _shown(flag))
            continue
        if flag.kind == "~" and not letters:
            flags.take(flag, flag.bare, _shown(flag))
            return
        if letters:
            flags.take(flag, letters, _shown(flag))
            return
        if not queue:
            raise CLIError(f"flag needs an argument: '{flag.short}' in {word}")
        flags.take(flag, queue.pop(0), _shown(flag))
