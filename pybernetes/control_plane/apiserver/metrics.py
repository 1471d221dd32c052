"""/metrics in Prometheus' text form: a small set that costs a dictionary update per request."""

from __future__ import annotations

import gc
import os
import resource as limits
from collections.abc import Callable
from typing import TYPE_CHECKING

from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.machinery.exposition import CONTENT_TYPE, STABLE, head, page

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.cache import WatchCache
    from pybernetes.control_plane.apiserver.flowcontrol.control import FlowControl

Key = tuple[str, str, str, str, str, int]


class Metrics:
    """Counters of requests; gauges are read when asked for."""

    def __init__(self, cache: WatchCache, flows: FlowControl) -> None:
        self._cache = cache
        self._flows = flows
        self._requests: dict[Key, int] = {}
        #: What else there is to tell, each in lines.
        self.others: list[Callable[[], list[str]]] = []

    def observe(self, call: Call, status: int) -> None:
        """One request is answered."""
        info = getattr(call, "info", None)
        if info is None:
            return
        key = (info.verb.upper(), info.group, info.version, info.resource, info.subresource, status)
        requests = self._requests
        requests[key] = requests.get(key, 0) + 1

    async def answer(self, call: Call) -> Result:
        """GET /metrics."""
        about = "Requests by verb, group, version, resource and code of the answer"
        lines = [*head("apiserver_request_total", "counter", about, STABLE)]
        for (verb, group, version, resource, subresource, code), count in sorted(self._requests.items()):
            lines.append(
                f'apiserver_request_total{{code="{code}",component="apiserver",dry_run="",group="{group}",'
                f'resource="{resource}",subresource="{subresource}",verb="{verb}",version="{version}"}} {count}'
            )
        lines += head("apiserver_storage_objects", "gauge", "Stored objects by resource", STABLE)
        for storage in self._cache.storages():
            name = f"{storage.resource}.{storage.group}" if storage.group else storage.resource
            lines.append(f'apiserver_storage_objects{{resource="{name}"}} {len(storage.items)}')
        lines += head("apiserver_longrunning_requests", "gauge", "Requests that are open, by verb", STABLE)
        lines.append(f'apiserver_longrunning_requests{{verb="WATCH"}} {self._cache.fanout.watchers}')
        lines.extend(self._flows.metrics())
        for other in self.others:
            lines.extend(other())
        lines += head("process_resident_memory_bytes", "gauge", "Resident memory of this process")
        lines.append(f"process_resident_memory_bytes {_resident()}")
        usage = limits.getrusage(limits.RUSAGE_SELF)
        lines += head("process_cpu_seconds_total", "counter", "CPU time of this process, in seconds")
        lines.append(f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.2f}")
        lines += head("python_gc_collections_total", "counter", "Runs of the garbage collector by generation")
        for generation, stats in enumerate(gc.get_stats()):
            lines.append(f'python_gc_collections_total{{generation="{generation}"}} {stats["collections"]}')
        return Result(raw=page(lines), media_type=CONTENT_TYPE.encode())


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
