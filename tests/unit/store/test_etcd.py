"""The etcd store's own promises: fail-over, resumed watches, TLS, prefixes, snapshots."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pybernetes.aio import clock
from pybernetes.store import Compacted, Event, StoreError, StoreUnavailable, closed, open_store
from pybernetes.store.copying import copy_all
from pybernetes.store.etcd import EtcdStore, orders_progress
from pybernetes.store.etcd_channel import TLS
from pybernetes.store.etcd_snapshot import EtcdSnapshot
from tests.suites.etcd_server import BINARY, EtcdServer, free_ports
from tests.suites.store_contract import stamp, take

pytestmark = [pytest.mark.real_time, pytest.mark.skipif(BINARY is None, reason="no etcd binary on PATH")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path) as server:
        yield server


async def test_a_watch_survives_a_restart_of_the_server(server: EtcdServer) -> None:
    store = EtcdStore([server.address], stamp=stamp)
    await store.start()
    seen: list[Event] = []
    subscription = store.subscribe("/", after_revision=1, on_events=lambda events, _: seen.extend(events))
    made = [await store.create("/a/0", b"")]
    await subscription.caught_up(made[-1].revision)
    for number in range(1, 4):
        await asyncio.to_thread(server.stop)
        with pytest.raises(StoreUnavailable):
            await store.create("/lost", b"")
        with pytest.raises(StoreUnavailable):
            await store.get("/a/0")
        await asyncio.to_thread(server.start)
        made.append(await store.create(f"/a/{number}", b""))
        await subscription.caught_up(made[-1].revision)
    assert [event.revision for event in seen] == [entry.revision for entry in made]
    await store.close()


async def test_dead_endpoints_are_passed_over(server: EtcdServer) -> None:
    dead = [("127.0.0.1", port) for port in free_ports(2)]
    store = EtcdStore([dead[0], server.address, dead[1]], stamp=stamp)
    await store.start()
    entry = await store.create("/a", b"1")
    assert await store.get("/a") == entry
    await store.close()
    store = EtcdStore(dead)
    with pytest.raises(StoreUnavailable, match="no etcd endpoint can be reached"):
        await store.start()
    await store.close()


async def test_prefixes_keep_stores_apart(server: EtcdServer) -> None:
    one, two = open_store(server.url + "?prefix=/one"), open_store(server.url + "?prefix=/two")
    await one.start()
    await two.start()
    await one.create("/x", b"1")
    entry = await two.create("/x", b"2")
    assert (await two.list("")).entries == [entry]
    assert [event.value for event in await take(two, "", 1, entry.revision)] == [b"2"]
    await one.close()
    await two.close()


async def test_long_lists_come_in_chunks_of_one_revision(server: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybernetes.store.etcd.LIST_CHUNK", 3)
    store = open_store(server.url)
    await store.start()
    made = [await store.create(f"/a/{number}", b"") for number in range(8)]
    page = await store.list("/a/")
    assert (page.entries, page.remaining, page.revision) == (made, 0, made[-1].revision)
    page = await store.list("/a/", limit=5)
    assert (page.entries, page.remaining) == (made[:5], 3)
    await store.close()


async def test_compacted_by_somebody_else(server: EtcdServer) -> None:
    store, other = open_store(server.url), open_store(server.url)
    await store.start()
    await other.start()
    entry = await store.create("/a", b"")
    for _ in range(5):
        entry = await store.update("/a", b"", entry.revision)
    await other.compact(entry.revision)
    assert store.compacted_revision == 0
    with pytest.raises(Compacted):
        await anext(store.watch("/", after_revision=2))
    assert store.compacted_revision == entry.revision
    await store.compact(entry.revision - 1)
    await store.close()
    await other.close()


async def test_what_etcd_refuses_is_no_matter_of_retrying(server: EtcdServer) -> None:
    store = open_store(server.url)
    await store.start()
    with pytest.raises(StoreError, match="too large") as caught:
        await store.create("/big", b"x" * 2_000_000)
    assert not isinstance(caught.value, StoreUnavailable)
    await store.close()


async def test_snapshot(server: EtcdServer, tmp_path: Path) -> None:
    store = EtcdStore([server.address])
    await store.start()
    await store.create("/needle", b"in the haystack")
    target = tmp_path / "snapshot.db"
    await store.snapshot(target)
    data = await asyncio.to_thread(target.read_bytes)
    assert b"in the haystack" in data
    assert stat.S_IMODE((await asyncio.to_thread(target.stat)).st_mode) == 0o600
    version, size = await store.status()
    assert version.startswith("3.") and size > 0
    await store.close()


def certificates(directory: Path) -> tuple[Path, Path, Path]:
    """(CA, certificate, key): one certificate for 127.0.0.1, good for server and client."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("test-ca", "test")]
    now, day = clock.now(), datetime.timedelta(days=1)

    def builder(number: int) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(names[number]).issuer_name(names[0])
        made = made.public_key(keys[number].public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - day).not_valid_after(now + day)
        return made.add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)

    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    leaf = builder(1).add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    files = directory / "ca.pem", directory / "cert.pem", directory / "key.pem"
    for file, made in zip(files[:2], (builder(0), leaf), strict=True):
        file.write_bytes(made.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = keys[1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    files[2].write_bytes(pem)
    return files


async def test_tls_with_client_certificate(tmp_path: Path) -> None:
    ca, certificate, key = files = certificates(tmp_path)
    with EtcdServer(tmp_path, tls=files) as server:
        url = server.url + f"?cafile={ca}&certfile={certificate}&keyfile={key}"
        store = open_store(url)
        await store.start()
        entry = await store.create("/a", b"1")
        assert [event.key for event in await take(store, "/", 1, entry.revision)] == ["/a"]
        await store.close()
        stranger = EtcdStore([server.address], tls=TLS(cafile=str(ca)), timeout=2)
        with pytest.raises(StoreError):
            await stranger.start()
        await stranger.close()
    missing = EtcdStore([server.address], tls=TLS(cafile=str(tmp_path / "none.pem")))
    with pytest.raises(StoreError, match="TLS files"):
        await missing.start()


async def test_what_a_snapshot_holds_is_what_the_store_held(server: EtcdServer, tmp_path: Path) -> None:
    store = EtcdStore([server.address], prefix="/registry")
    other = EtcdStore([server.address], prefix="/other")
    await store.start()
    await other.start()
    await other.create("/not/ours", b"")
    for number in range(3000):  # more than a page of any kind
        made = await store.create(f"/a/{number}", b"%d" % number * 20)
        if number % 3 == 1:
            await store.update(made.key, b"updated", made.revision)
        elif number % 3 == 2:
            await store.delete(made.key, made.revision)
    await store.compact(await store.current_revision() - 1000)
    deleted = await store.create("/a/last", b"")
    await store.delete("/a/last", deleted.revision)
    await store.snapshot(tmp_path / "saved")
    revision, entries = await store.current_revision(), (await store.list("")).entries
    snapshot = EtcdSnapshot(tmp_path / "saved", "/registry")
    assert await snapshot.current_revision() == revision
    assert (await snapshot.list("")).entries == entries and len(entries) == 2000
    page = await snapshot.list("/a/", limit=10, after=entries[4].key)
    assert page.entries == entries[5:15] and page.remaining == 1985

    target = EtcdStore([server.address], prefix="/again")
    await target.start()
    await target.create("/x", b"")
    with pytest.raises(StoreError, match="not empty"):
        await copy_all(snapshot, target)
    await closed.close(target, closed.HALF)
    count, now = await copy_all(snapshot, target)
    assert count == 2000 and now > revision
    assert [(e.key, e.value) for e in (await target.list("/a")).entries] == [(e.key, e.value) for e in entries]
    for one in (store, other, target):
        await one.close()


async def test_a_damaged_snapshot_is_refused(server: EtcdServer, tmp_path: Path) -> None:
    store = EtcdStore([server.address])
    await store.start()
    await store.create("/a", b"1")
    await store.snapshot(tmp_path / "saved")
    await store.close()
    data = bytearray((tmp_path / "saved").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "saved").write_bytes(data)
    with pytest.raises(StoreError, match="is damaged"):
        EtcdSnapshot(tmp_path / "saved")
    (tmp_path / "saved").write_bytes(data[:-100])
    with pytest.raises(StoreError, match="no snapshot"):
        EtcdSnapshot(tmp_path / "saved")


async def test_a_renewed_client_certificate_is_used_at_the_next_connection(tmp_path: Path) -> None:
    old, new, used = (tmp_path / name for name in ("old", "new", "used"))
    for directory in (old, new, used):
        directory.mkdir()
    before, after = certificates(old), certificates(new)
    files = tuple(used / file.name for file in before)

    def put(found: tuple[Path, Path, Path]) -> None:
        for source, target in zip(found, files, strict=True):
            target.write_bytes(source.read_bytes())

    put(before)
    with EtcdServer(tmp_path, tls=before) as server:
        store = EtcdStore([server.address], tls=TLS(*map(str, files)), stamp=stamp)
        await store.start()
        first = await store.create("/a", b"1")
        files[1].write_bytes(after[1].read_bytes())  # the certificate is replaced, its key not yet
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        assert (await store.get("/a")) == first, "those of before go on serving"
        put(after)
        await asyncio.to_thread(server.stop)
        server.tls = after
        await asyncio.to_thread(server.start)
        assert (await store.get("/a")) == first
        await store.close()


def test_versions_that_order_progress() -> None:
    assert [v for v in ("3.4.23", "3.4.31", "3.5.12", "3.5.13", "3.6.0-rc.1", "4.0") if orders_progress(v)] == [
        "3.4.31",
        "3.5.13",
        "3.6.0-rc.1",
        "4.0",
    ]


def gateway(server: EtcdServer, path: str, **body: str) -> None:
    """A call of etcd's JSON gateway, which has what our client does not need."""
    host, port = server.address
    request = urllib.request.Request(f"http://{host}:{port}/v3/{path}", json.dumps(body).encode())
    urllib.request.urlopen(request, timeout=10).close()


async def test_user_and_password(server: EtcdServer) -> None:
    url = server.url.replace("//", "//root:p%40ss@")
    open_to_all = open_store(url, stamp=stamp)  # a password where none is asked for does no harm
    await open_to_all.start()
    await open_to_all.create("/a", b"1")
    await open_to_all.close()
    for path, body in (
        ("auth/role/add", {"name": "root"}),
        ("auth/user/add", {"name": "root", "password": "p@ss"}),
        ("auth/user/grant", {"user": "root", "role": "root"}),
        ("auth/enable", {}),
    ):
        await asyncio.to_thread(gateway, server, path, **body)
    store = open_store(url, stamp=stamp)
    await store.start()
    seen: list[Event] = []
    subscription = store.subscribe("/", after_revision=1, on_events=lambda events, _: seen.extend(events))
    entry = await store.create("/b", b"2")
    await subscription.caught_up(entry.revision)
    assert [event.key for event in seen] == ["/a", "/b"]
    store._endpoints._token = "forgotten"  # type: ignore[attr-defined]
    assert await store.get("/b") == entry
    await store.close()
    for wrong in (server.url, server.url.replace("//", "//root:other@")):
        refused = open_store(wrong, stamp=stamp)
        with pytest.raises(StoreError, match=r"does not take user 'root'|user name is empty"):
            await refused.start()
            await refused.get("/a")
        await refused.close()
