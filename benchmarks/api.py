"""The API server's own cost, without sockets: microseconds per call over the in-process transport and a memory store.

`python benchmarks/api.py [COUNT] [--profile]`. For the whole path with TLS use an HTTP load generator.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
from collections.abc import Awaitable, Callable

from pybernetes.aio import clock
from pybernetes.api.core_v1 import ConfigMap, Container, Pod, PodSpec, ServiceAccount
from pybernetes.client.client import Client
from pybernetes.control_plane.apiserver.server import SELF, APIServer, Config
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta


def pod(number: int) -> Pod:
    """A small Pod."""
    meta = ObjectMeta(name=f"p{number}", namespace="default", labels={"app": "bench"})
    return Pod(metadata=meta, spec=PodSpec(containers=[Container(name="c", image="registry.example/app:1")]))


async def timed(name: str, count: int, work: Callable[[int], Awaitable[object]]) -> None:
    """Call `work(0)` to `work(count - 1)` in turn and print the mean."""
    start = clock.monotonic()
    for number in range(count):
        await work(number)
    print(f"{name:28} {(clock.monotonic() - start) / count * 1e6:8.1f} us")


async def measure(count: int) -> None:
    """Run all measurements."""
    start = clock.monotonic()
    server = APIServer(Config(listen=False))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run(), name="apiserver")
        await server.ready.wait()
        print(f"{'start to ready':28} {(clock.monotonic() - start) * 1e3:8.1f} ms")
        client = Client(server.transport(SELF))
        await client.resource(ServiceAccount).create(
            ServiceAccount(metadata=ObjectMeta(name="default", namespace="default"))
        )
        maps, pods = client.resource(ConfigMap), client.resource(Pod)
        await timed(
            "create ConfigMap",
            count,
            lambda n: maps.create(ConfigMap(metadata=ObjectMeta(name=f"c{n}", namespace="default"), data={"a": "b"})),
        )
        await timed("create Pod", count, lambda n: pods.create(pod(n)))
        await timed("get Pod", count, lambda n: pods.get(f"p{n}", "default"))

        async def status(number: int) -> None:
            changed = codec.copy(await pods.get(f"p{number}", "default"))
            changed.status.message = "x"
            await pods.update_status(changed)

        await timed("get, update status", count, status)
        await timed(
            "patch labels (merge)",
            count,
            lambda n: pods.patch(f"p{n}", "default", {"metadata": {"labels": {"x": str(n)}}}),
        )
        await timed("list (all)", 20, lambda n: pods.list("default"))
        await timed("list (label selector)", 20, lambda n: pods.list("default", label_selector="x=5"))
        await timed("delete Pod", count, lambda n: pods.delete(f"p{n}", "default", grace_period=0))
        running.cancel()


def main() -> None:
    count = int(next((a for a in sys.argv[1:] if a.isdigit()), "2000"))
    if "--profile" in sys.argv:
        profile = cProfile.Profile()
        profile.runcall(asyncio.run, measure(count))
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    else:
        asyncio.run(measure(count))


if __name__ == "__main__":
    main()
