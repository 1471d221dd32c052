"""Pods come and go without a reload: each backend has more places for servers than it needs. Pure.

haproxy can give a place another address while it runs. A Pod keeps its place as long as it is there; a place that is
left is put out of service first, so that no idle connection of the old Pod is taken for one of the new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pybernetes.network.ingress.backends import Backend, Server

#: The places of one backend; None: free.
Slots = tuple[Server | None, ...]

_FEWEST = 4


def arrange(backends: Mapping[str, Backend], before: Mapping[str, Slots]) -> dict[str, Slots]:
    """Who sits where. A backend with too few places gets a power of two of them, with some to spare."""
    return {name: _seat(backend.servers, before.get(name, ())) for name, backend in backends.items()}


def _seat(servers: Sequence[Server], before: Slots) -> Slots:
    wanted = set(servers)
    seats: list[Server | None] = [one if one in wanted else None for one in before]
    size = len(seats) or _FEWEST
    while size < len(servers):
        size = max(size * 2, _FEWEST)
    seats += [None] * (size - len(seats))
    seated = set(seats)
    # Places that were free before go first: those just left may still have connections.
    free = [i for i, one in enumerate(seats) if one is None]
    free.sort(key=lambda i: i < len(before) and before[i] is not None)
    for server, place in zip((one for one in servers if one not in seated), free, strict=False):
        seats[place] = server
    return tuple(seats)


def commands(before: Mapping[str, Slots], after: Mapping[str, Slots]) -> list[str]:
    """What to tell the running haproxy; both must have the same backends with as many places.

    Newcomers in free places come first, so that a backend is never without servers when all of them change.
    """
    come: list[str] = []
    go: list[str] = []
    for name, seats in after.items():
        for i, (old, new) in enumerate(zip(before[name], seats, strict=True), 1):
            if old == new:
                continue
            server = f"{name}/s{i}"
            if old is not None:
                go.append(f"set server {server} state maint")
            if new is not None:
                turn = come if old is None else go
                turn.append(f"set server {server} addr {new[0]} port {new[1]}")
                turn.append(f"set server {server} state ready")
    return come + go


def same_shape(before: Mapping[str, Slots], after: Mapping[str, Slots]) -> bool:
    """The difference is only in who sits where."""
    return {name: len(seats) for name, seats in before.items()} == {name: len(seats) for name, seats in after.items()}
