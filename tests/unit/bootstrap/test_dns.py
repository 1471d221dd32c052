"""`pybernetes dns`, as a process beside a cluster in this one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import dns.asyncquery
import dns.message
import pytest

from pybernetes.bootstrap import dns as dns_command
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.testing import LocalCluster


@pytest.mark.real_time
async def test_a_process_of_its_own() -> None:
    async with LocalCluster(nodes=0, serve=True, scheduler=False, controllers=()) as cluster:
        read_end, write_end = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pybernetes", "dns", "--kubeconfig", str(cluster.kubeconfig)),
            *("--port", "0", "--upstream", "127.0.0.1#1", "--ready-fd", str(write_end)),
            pass_fds=(write_end,),
            cwd=Path(__file__).parents[3],
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(write_end)
        async with asyncio.timeout(20):
            line = await asyncio.to_thread(os.read, read_end, 100)
            os.close(read_end)
            port = int(line.decode().strip(" ()\n").split(", ")[1])
            query = dns.message.make_query("kubernetes.default.svc.cluster.local", "A")
            message = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=5)
            assert message.answer[0][0].to_text() == "10.96.0.1"
            process.terminate()
            assert await process.wait() == 0


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--address", "localhost", "'localhost' does not appear to be an IPv4 or IPv6 address"),
        ("--range", "10.0.0.1/8", "has host bits set"),
        ("--upstream", "8.8.8.8:53", "does not appear to be an IPv4 or IPv6 address"),
        ("--domain", "a..b", "no domain name"),
    ],
)
def test_values_that_cannot_be(flag: str, value: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        dns_command.parse(["--kubeconfig", "/nowhere", flag, value])
