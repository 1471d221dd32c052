"""Queries a second of the cluster DNS, one server process (one core) and one client process, UDP on loopback.

`python benchmarks/dns.py [--services N] [--seconds S]`. Cases: one name (from the packet cache), 1,000 names in turn
(cache), a new name each time (every answer made anew), and all of it beside a change of the cluster every 10 ms. The
client keeps 32 queries in flight; latencies are those of its queue.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import select
import socket
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Namespace, Service, ServicePort, ServiceSpec
from pybernetes.api.discovery_v1 import EndpointSlice
from pybernetes.machinery.meta import ObjectMeta
from pybernetes.network.dns import wire
from pybernetes.network.dns.server import DNS, Config

WINDOW = 32


class _Page:
    def __init__(self, items: list[Any]) -> None:
        self.items, self.resource_version = items, "1"


class _Resource:
    """The API as far as an informer needs it: a list, and a watch that brings one changed Service now and then."""

    kind: Any = None

    def __init__(self, items: list[Any], interval: float) -> None:
        self._items, self._interval = items, interval

    async def list(self, **_: Any) -> _Page:
        return _Page(self._items)

    async def watch_batches(self, **_: Any) -> _Batches:
        return _Batches(self._interval)


class _Batches:
    def __init__(self, interval: float) -> None:
        self._interval, self._count = interval, 1

    def __aiter__(self) -> _Batches:
        return self

    async def __anext__(self) -> list[tuple[str, Service]]:
        await clock.sleep(self._interval or 1e6)
        self._count += 1
        return [("MODIFIED", service(0, version=self._count))]

    async def close(self) -> None:
        pass


class _Client:
    def __init__(self, services: int, interval: float) -> None:
        self._objects: dict[type, tuple[list[Any], float]] = {
            Service: ([service(index) for index in range(services)], interval),
            EndpointSlice: ([], 0.0),
            Namespace: ([Namespace(metadata=ObjectMeta(name="bench"))], 0.0),
        }

    def resource(self, kind: type) -> _Resource:
        return _Resource(*self._objects[kind])


def service(index: int, version: int = 1) -> Service:
    """Service s<index>; its address depends on the version, so that every version changes an answer."""
    address = f"10.{96 + version % 2}.{index >> 8}.{index & 255}"
    return Service(
        metadata=ObjectMeta(name=f"s{index}", namespace="bench", uid=str(index), resource_version=str(version)),
        spec=ServiceSpec(cluster_ip=address, cluster_ips=[address], ports=[ServicePort(port=80)]),
    )


def serve(pipe: Connection, services: int, interval: float) -> None:
    """The server's process: sends its port, runs until told to stop, sends its CPU seconds."""

    async def run() -> None:
        dns = DNS(Config(port=0), _Client(services, interval))  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(dns.run(), name="dns")
            _, port = await dns.ready.wait()
            before = os.times()
            pipe.send(port)
            stop = asyncio.Event()
            asyncio.get_running_loop().add_reader(pipe.fileno(), stop.set)
            await stop.wait()
            after = os.times()
            pipe.send(after.user + after.system - before.user - before.system)
            task.cancel()

    import uvloop

    uvloop.run(run())


def drive(port: int, queries: Iterator[bytes], seconds: float) -> tuple[float, float, float, int]:
    """(queries a second, seconds of an answer, median and 99 of 100, answers that were lost), `WINDOW` in flight."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    sent: dict[bytes, float] = {}
    latencies: list[float] = []
    lost = 0
    begin = clock.monotonic()
    end = begin + seconds
    number = 0

    def send() -> None:
        nonlocal number
        number = (number + 1) & 0xFFFF
        id_ = number.to_bytes(2, "big")
        sent[id_] = clock.monotonic()
        sock.send(id_ + next(queries))

    for _ in range(WINDOW):
        send()
    while clock.monotonic() < end:
        if not select.select([sock], [], [], 0.5)[0]:
            lost += len(sent)
            sent.clear()
            for _ in range(WINDOW):
                send()
            continue
        data = sock.recv(4096)
        latencies.append(clock.monotonic() - sent.pop(data[:2]))
        send()
    rate, latencies = len(latencies) / (clock.monotonic() - begin), sorted(latencies)
    return rate, latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100], lost


def one() -> Iterator[bytes]:
    packet = wire.ask(0, wire.name("s1.bench.svc.cluster.local"), wire.A)[2:]
    while True:
        yield packet


def thousand() -> Iterator[bytes]:
    packets = [wire.ask(0, wire.name(f"s{index}.bench.svc.cluster.local"), wire.A)[2:] for index in range(1000)]
    while True:
        yield from packets


def fresh() -> Iterator[bytes]:
    """The search list's work: names that do not exist, never the same."""
    number = 0
    while True:
        number += 1
        yield wire.ask(0, (f"n{number}", "example", "com", "bench", "svc", "cluster", "local"), wire.A)[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    cases: list[tuple[str, Callable[[], Iterator[bytes]], float]] = [
        ("one name", one, 0.0),
        ("1,000 names", thousand, 0.0),
        ("new names (no cache)", fresh, 0.0),
        ("1,000 names, 100 changes/s", thousand, 0.01),
    ]
    print(f"{options.services} Services, {WINDOW} queries in flight")
    print(f"{'':28} {'queries/s':>10} {'p50':>9} {'p99':>9} {'server CPU':>11} {'per core':>9} {'lost':>5}")
    for title, queries, interval in cases:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, options.services, interval), daemon=True
        )
        process.start()
        port = ours.recv()
        rate, median, tail, lost = drive(port, queries(), options.seconds)
        ours.send(None)
        cpu = ours.recv() / options.seconds
        process.join(5)
        print(
            f"{title:28} {rate:10,.0f} {median * 1e6:6.0f} us {tail * 1e6:6.0f} us "
            f"{cpu:10.0%} {rate / cpu:9,.0f} {lost:5}"
        )


if __name__ == "__main__":
    main()
