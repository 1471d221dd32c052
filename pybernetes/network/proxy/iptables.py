"""The iptables backend: keeps upstream's chains equal to the rules, by difference, with `iptables-restore --noflush`.

A change of a Service rewrites its chains and adds or deletes its lines in the chains of all, in one transaction a
table. Where many lines go, their chain is written anew instead: each deletion is a search through it.

A full sync is cut into transactions; what leads packets into the new chains comes last. The nf_tables variant keeps a
sorted list of the chain names that a transaction has met, and walks it from its start for every name: its time grows
with the square of what they are (10,000 Services: 33 s in one piece). So endpoints' chains, which lead nowhere, come
with falling names, each with its lines, and cost nothing extra; the chains that pick one come a few hundred at a time.
The legacy variant copies the whole table at every call and is given one piece.
"""

from __future__ import annotations

import itertools
import logging
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pybernetes.network.proxy.chains import Chain, Chains, Fragment
from pybernetes.network.proxy.rules import ServiceRules

log = logging.getLogger(__name__)

_TABLES = ("nat", "filter")
#: Chains of a transaction: of those that lead nowhere, and of others.
_LEAVES, _BRANCHES = 2000, 400
_FEW = 20
_EMPTY = Fragment()


class Iptables:
    """One family's chains. Blocking calls; the caller decides on which thread. They raise OSError."""

    #: A change starts a process: not for the event loop's thread.
    instant = False

    def __init__(
        self,
        table: str,
        family: str,
        pod_cidrs: tuple[str, ...],
        node_addresses: tuple[str, ...],
        netns: Path | None = None,
        loopback: bool = False,
    ) -> None:
        self.chains = Chains(table, family, pod_cidrs, node_addresses, loopback)
        self._program = "ip6tables" if family == "IPv6" else "iptables"
        self._prefix = ["nsenter", f"--net={netns}", "--"] if netns is not None else []
        self._uncut: bool | None = None
        self._fragments: dict[str, Fragment] = {}
        self._rules: dict[str, ServiceRules] = {}
        #: The rules of the chains of all, in order; whose they are does not matter, for they are unlike.
        self._dispatch: dict[Chain, dict[str, None]] = {}

    def replace(self, rules: Mapping[str, ServiceRules]) -> None:
        """These Services and nothing else, whatever was there before."""
        self._rules = {**rules}
        self.chains.levels = self._levels()
        # In the order of the tree: what the kernel then walks through lies side by side in its memory.
        rules = dict(
            sorted(rules.items(), key=lambda item: [self.chains.leaf(p.cluster_ip) for p in item[1].ports[:1]])
        )
        self._fragments = {key: self.chains.fragment(item) for key, item in rules.items()}
        self._dispatch = {chain: {} for chain in self.chains.dispatching}
        for fragment in self._fragments.values():
            for chain, rule in fragment.dispatch:
                self._dispatch[chain][rule] = None
        leading = self.chains.leading()
        own = {chain: lines for fragment in self._fragments.values() for chain, lines in fragment.chains.items()}
        fixed = self.chains.fixed()
        found = {table: self._mine(self._saved(table)) for table in _TABLES}
        self._restore(
            [
                *self._written("nat", own, together=False),
                *((table, self._leading(table, {**leading, **fixed}, found[table])) for table in _TABLES),
                *(piece for table in _TABLES for piece in self._stale(table, found[table], own, {**leading, **fixed})),
            ]
        )

    def update(self, changed: Mapping[str, ServiceRules]) -> None:
        """Program changed Services (`NOTHING`: gone), by their namespace/name."""
        written: dict[Chain, tuple[str, ...]] = {}
        gone: dict[Chain, None] = {}
        less: dict[Chain, dict[str, None]] = {}
        more: dict[Chain, dict[str, None]] = {}
        for key, rules in changed.items():
            old, new = self._fragments.pop(key, _EMPTY), self.chains.fragment(rules)
            self._rules.pop(key, None)
            if rules.ports:
                self._fragments[key], self._rules[key] = new, rules
            written.update({chain: lines for chain, lines in new.chains.items() if old.chains.get(chain) != lines})
            gone.update(dict.fromkeys(chain for chain in old.chains if chain not in new.chains))
            for chain, rule in old.dispatch.keys() - new.dispatch.keys():
                less.setdefault(chain, {})[rule] = None
                self._dispatch[chain].pop(rule, None)
            for chain, rule in new.dispatch:
                if rule not in self._dispatch[chain]:
                    more.setdefault(chain, {})[rule] = None
                    self._dispatch[chain][rule] = None
        if self._levels() > self.chains.levels:
            self.replace(self._rules)
            return
        pieces = list(self._written("nat", written, together=len(written) < _BRANCHES))
        for table in _TABLES:
            lines = self._redirected(table, less, more)
            doomed = [name for kind, name in gone if kind == table]
            ends = [*(f":{name} - [0:0]" for name in doomed), *(f"-X {name}" for name in doomed)]
            if pieces and pieces[-1][0] == table and len(pieces) == 1:
                pieces[-1] = table, [*pieces[-1][1], *lines, *ends]
            elif lines or ends:
                pieces.append((table, [*lines, *ends]))
        try:
            self._restore(pieces)
        except OSError as error:
            log.warning("%s; programming everything anew", error)
            self.replace(self._rules)

    def settle(self) -> None:
        """Nothing: a packet sees a table as it was or as it is."""

    def intact(self) -> bool:
        """Whether packets still find our chains."""
        for table in _TABLES:
            chain, rule = next((chain, rule) for chain, rule in self.chains.jumps() if chain[0] == table)
            command = [self._program, "-w", "5", "-t", table, "-C", chain[1], *rule.split()]
            if self._run(command, check=False).returncode:
                return False
        return True

    def remove(self) -> None:
        """Remove our chains and what leads to them. Tables that hold nothing else are left: see `idle_tables`."""
        if shutil.which(f"{self._program}-save") is None:
            return
        for table in _TABLES:
            saved = self._saved(table)
            names, jumps = self._mine(saved)
            if names or jumps:
                cut = (table, [f"-D{jump[2:]}" for jump in jumps])
                self._restore([cut, *self._stale(table, (names, jumps), {}, {})])

    def close(self) -> None:
        """Nothing is held; the chains stay."""

    # -- pieces: (table, lines) of a transaction -----------------------------------------------------------------------

    def _written(
        self, table: str, chains: Mapping[Chain, Sequence[str]], *, together: bool
    ) -> Iterator[tuple[str, list[str]]]:
        """Chains with all their rules."""
        # A chain is made before a rule leads to it: a kind comes after those that it leads to.
        wanted = sorted((chain for chain in chains if chain[0] == table), key=_rank)
        kinds = [wanted] if together else [[*kind] for _, kind in itertools.groupby(wanted, _rank)]
        for part in itertools.chain.from_iterable(self._cut(kind, together=together) for kind in kinds):
            yield (
                table,
                [
                    line
                    for chain in part
                    for line in (f":{chain[1]} - [0:0]", *(f"-A {chain[1]} {rule}" for rule in chains[chain]))
                ],
            )

    def _leading(
        self, table: str, fixed: Mapping[Chain, Sequence[str]], found: tuple[set[str], list[str]]
    ) -> list[str]:
        """The chains of all, and the way there."""
        chains: dict[Chain, Iterable[str]] = {c: rules for c, rules in self._dispatch.items() if c[0] == table}
        chains.update({chain: rules for chain, rules in fixed.items() if chain[0] == table})
        lines = [f":{name} - [0:0]" for _, name in chains]
        lines += (f"-A {name} {rule}" for (_, name), rules in chains.items() for rule in rules)
        lines += (f"-D{jump[2:]}" for jump in found[1])
        lines += (f"-I {base} {rule}" for (kind, base), rule in reversed(self.chains.jumps()) if kind == table)
        return lines

    def _stale(
        self,
        table: str,
        found: tuple[set[str], list[str]],
        own: Mapping[Chain, object],
        fixed: Mapping[Chain, object],
    ) -> Iterator[tuple[str, list[str]]]:
        """Chains of ours that nothing is to lead to: all are emptied before the first is deleted."""
        kept = {name for kind, name in (*own, *fixed, *(self._dispatch if fixed else ())) if kind == table}
        doomed = sorted(found[0] - kept, reverse=True)
        for line in (":{} - [0:0]", "-X {}"):
            for start in range(0, len(doomed), _LEAVES):
                yield table, [line.format(name) for name in doomed[start : start + _LEAVES]]

    def _redirected(
        self, table: str, less: Mapping[Chain, Mapping[str, None]], more: Mapping[Chain, Mapping[str, None]]
    ) -> list[str]:
        lines: list[str] = []
        for chain, rules in self._dispatch.items():
            if chain[0] != table:
                continue
            deleted = less.get(chain, {})
            if len(deleted) > _FEW:
                lines.append(f":{chain[1]} - [0:0]")
                lines += (f"-A {chain[1]} {rule}" for rule in rules)
                continue
            lines += (f"-D {chain[1]} {rule}" for rule in deleted)
            lines += (f"-A {chain[1]} {rule}" for rule in more.get(chain, ()))
        return lines

    # -- the programs --------------------------------------------------------------------------------------------------

    def _levels(self) -> int:
        """The levels of the tree that these Services want."""
        return self.chains.levels_for(
            sum(1 + len(port.external_ips) for item in self._rules.values() for port in item.ports)
        )

    def _cut(self, chains: list[Chain], *, together: bool) -> Iterator[list[Chain]]:
        """Chains of a kind, those of a transaction each."""
        if self._uncut is None:
            self._uncut = "nf_tables" not in self._run([self._program, "--version"]).stdout
        if not chains or together or self._uncut:
            yield chains
            return
        # Neighbours stay near each other: the kernel walks through all chains whenever a rule is added.
        length = _LEAVES if chains[0][1].startswith("KUBE-SEP") else _BRANCHES
        for start in range(0, len(chains), length):
            yield sorted(chains[start : start + length], reverse=True)

    def _restore(self, pieces: Iterable[tuple[str, list[str]]]) -> None:
        text = "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in pieces if lines)
        if text:
            self._run([f"{self._program}-restore", "--noflush", "-w", "5"], text)

    def _saved(self, table: str) -> list[str]:
        return self._run([f"{self._program}-save", "-t", table], check=False).stdout.splitlines()

    def _mine(self, saved: list[str]) -> tuple[set[str], list[str]]:
        """Our chains, and the lines of others' that lead to them."""
        names = {name for line in saved if line[:1] == ":" and self.chains.mine(name := line[1:].split(" ", 1)[0])}
        target = re.compile(rf"-j (KUBE-\S+-{self.chains.tag}\S*)")
        jumps = [
            line
            for line in saved
            if line.startswith("-A ") and line.split(" ", 2)[1] not in names and (match := target.search(line))
            and match[1] in names
        ]  # fmt: skip
        return names, jumps

    def _run(self, command: list[str], text: str = "", *, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._prefix, *command], input=text, capture_output=True, text=True, check=False, timeout=120
        )
        if check and done.returncode:
            raise OSError(f"{command[0]}: {done.stderr.strip()}")
        return done


def _rank(chain: Chain) -> int:
    """Chains in the order of who leads to whom, backwards."""
    kinds = ("KUBE-SEP", "KUBE-SVC", "KUBE-SVL", "KUBE-EXT-")
    return next((i for i, kind in enumerate(kinds) if chain[1].startswith(kind)), len(kinds))
