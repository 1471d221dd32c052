"""Asking upstreams, on loopback."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from pybernetes.aio import clock
from pybernetes.network.dns import forward, wire
from pybernetes.network.dns.forward import Config, Forwarder
from tests.unit.network.dns.upstream import answers, truncated, upstream

pytestmark = pytest.mark.real_time

SOA = "example.org. 60 IN SOA ns. root. 1 2 3 4 20"


def query(name: str = "www.example.org.", type_: str = "A", **options: object) -> wire.Query:
    return wire.read_query(dns.message.make_query(name, type_, **options).to_wire())  # type: ignore[arg-type]


def message(kept: forward.Kept, to: wire.Query, later: float = 0.0, limit: int = 65535) -> dns.message.Message:
    return dns.message.from_wire(kept.render(to, kept.stored + later, limit))


async def test_the_answer_comes_with_the_askers_id_and_spelling() -> None:
    async with upstream(answers("www.example.org. 60 IN A 192.0.2.1")) as server:
        forwarder = Forwarder(Config(upstreams=(server.address,)))
        ask = query("WWW.Example.org.")
        found = message(await forwarder.ask(ask), ask)
    assert (found.id, str(found.question[0].name)) == (ask.id, "WWW.Example.org.")
    assert found.answer[0].to_text() == "WWW.Example.org. 60 IN A 192.0.2.1"
    assert found.flags & dns.flags.RA
    assert server.questions == [("www.example.org. IN A", False)]


async def test_what_is_kept_grows_old() -> None:
    async with upstream(answers("www.example.org. 20 IN A 192.0.2.1", "www.example.org. 90 IN A 192.0.2.2")) as server:
        forwarder = Forwarder(Config(upstreams=(server.address,)))
        kept = await forwarder.ask(query())
        again = query(use_edns=False)
        assert forwarder.kept(again, False) is kept
        assert await forwarder.ask(again) is kept
        assert len(server.questions) == 1
    assert kept.expires == kept.stored + 20
    assert [rrset.ttl for rrset in message(kept, again, later=7.5).answer] == [13]
    assert forwarder.kept(query(type_="AAAA"), False) is None
    assert forwarder.kept(query(use_edns=0), False) is None


async def test_absence_is_kept_as_long_as_the_soa_says() -> None:
    async with upstream(answers(authority=SOA, rcode=3)) as server:
        kept = await Forwarder(Config(upstreams=(server.address,))).ask(query())
    assert (kept.rcode, kept.expires - kept.stored) == (wire.NXDOMAIN, 20)
    async with upstream(answers()) as server:  # without SOA nobody may keep it
        kept = await Forwarder(Config(upstreams=(server.address,))).ask(query())
    assert (kept.rcode, kept.expires - kept.stored) == (wire.NOERROR, 0)


def silent(query: dns.message.Message, tcp: bool) -> None:
    """No answer."""


async def test_equal_questions_are_asked_once() -> None:
    async with upstream(silent) as server:
        forwarder = Forwarder(Config(upstreams=(server.address,)))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(forwarder.ask(query()), name=f"ask-{index}") for index in range(20)]
            await server.asked.wait()
            tasks[1].cancel()  # one who waits no longer, and the others still do
            server.release(answers("www.example.org. 60 IN A 192.0.2.1"))
    assert tasks[1].cancelled()
    assert {task.result().rcode for task in (tasks[0], *tasks[2:])} == {wire.NOERROR}
    assert len(server.questions) == 1


async def test_who_asked_first_may_go() -> None:
    async with upstream(silent) as server:
        forwarder = Forwarder(Config(upstreams=(server.address,)))
        async with asyncio.TaskGroup() as group:
            first = group.create_task(forwarder.ask(query()), name="first")
            second = group.create_task(forwarder.ask(query()), name="second")
            await server.asked.wait()
            first.cancel()
        assert second.result().rcode == wire.SERVFAIL
        assert forwarder.kept(query(), False) is None
        server.script = answers("www.example.org. 60 IN A 192.0.2.1")
        assert (await forwarder.ask(query())).rcode == wire.NOERROR


async def test_the_next_upstream_is_asked_and_the_silent_one_goes_last() -> None:
    async with upstream(silent) as first, upstream(answers("x. 0 IN A 192.0.2.2")) as second:
        forwarder = Forwarder(Config(upstreams=(first.address, second.address), timeout=0.05))
        assert (await forwarder.ask(query("x."))).rcode == wire.NOERROR
        assert (await forwarder.ask(query("x."))).rcode == wire.NOERROR
    assert (len(first.questions), len(second.questions)) == (1, 2)


async def test_no_upstream_at_all_is_a_failure_soon() -> None:
    async with upstream(answers()) as server:
        pass
    forwarder = Forwarder(Config(upstreams=(server.address,)))
    before = clock.monotonic()
    kept = await forwarder.ask(query())
    assert kept.rcode == wire.SERVFAIL
    assert clock.monotonic() - before < 1.0  # refused by the kernel, not timed out
    assert forwarder.kept(query(), False) is kept
    assert (await Forwarder(Config(resolv_conf=())).ask(query())).rcode == wire.SERVFAIL


async def test_a_server_that_refuses_is_passed_over() -> None:
    async with upstream(answers(rcode=5)) as first, upstream(answers("x. 9 IN A 192.0.2.2")) as second:
        assert (await Forwarder(Config(upstreams=(first.address, second.address))).ask(query("x."))).rcode == 0
        alone = await Forwarder(Config(upstreams=(first.address,))).ask(query("x."))
        assert alone.rcode == wire.REFUSED


async def test_forged_responses_are_not_taken() -> None:
    def forge(asked: dns.message.Message, _: bool) -> bytes:
        other = dns.message.make_response(dns.message.make_query("evil.org.", "A", id=asked.id))
        return other.to_wire()

    async with upstream(forge) as server:
        kept = await Forwarder(Config(upstreams=(server.address,), timeout=0.05)).ask(query())
    assert kept.rcode == wire.SERVFAIL


async def test_cut_short_by_udp_whole_by_tcp() -> None:
    lines = [f"www.example.org. 60 IN A 192.0.2.{index}" for index in range(100)]
    async with upstream(truncated(answers(*lines))) as server:
        forwarder = Forwarder(Config(upstreams=(server.address,)))
        cut = await forwarder.ask(query())
        assert message(cut, query()).flags & dns.flags.TC
        whole = await forwarder.ask(query(), tcp=True)
        assert len(message(whole, query()).answer[0]) == 100
        too_much = message(whole, query(), limit=512)
    assert too_much.flags & dns.flags.TC
    assert not too_much.answer
    assert [tcp for _, tcp in server.questions] == [False, True]


async def test_more_than_the_limit_are_refused() -> None:
    async with upstream(silent) as server:
        forwarder = Forwarder(Config(upstreams=(server.address,), limit=2, timeout=0.05))
        async with asyncio.TaskGroup() as group:
            for name in ("a.", "b."):
                group.create_task(forwarder.ask(query(name)), name=name)
            await clock.sleep(0)
            assert (await forwarder.ask(query("c."))).rcode == wire.SERVFAIL
    assert {question for question, _ in server.questions} == {"a. IN A", "b. IN A"}


async def test_resolv_conf_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    config = Config(resolv_conf=(path, tmp_path / "other"), own=("10.96.0.10",), recheck=0)
    forwarder = Forwarder(config)
    assert forwarder.upstreams() == []
    (tmp_path / "other").write_text("nameserver 192.0.2.9\n")
    assert forwarder.upstreams() == [("192.0.2.9", 53)]
    path.write_text("nameserver 192.0.2.1\n")
    assert forwarder.upstreams() == [("192.0.2.1", 53)]
    path.write_text("# none\nnameserver 10.96.0.10\n")
    os.utime(path, ns=(1, 1))
    assert forwarder.upstreams() == []


def test_name_servers_of_a_resolv_conf() -> None:
    text = "search a b\nnameserver 192.0.2.1\nnameserver  fe80::1%eth0 # x\nnameserver nonsense\nnameserver 192.0.2.1\n"
    assert forward.nameservers(text) == ["192.0.2.1", "fe80::1%eth0"]
    assert forward.split("::1#5353") == ("::1", 5353)
    with pytest.raises(ValueError, match="nope"):
        forward.split("nope#1")
