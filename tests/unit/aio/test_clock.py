from pybernetes.aio import clock


async def test_sleep_follows_virtual_time() -> None:
    before, wall = clock.monotonic(), clock.timestamp()
    await clock.sleep(3600)
    assert round(clock.monotonic() - before) == 3600
    assert round(clock.timestamp() - wall) == 3600


async def test_texts() -> None:
    assert clock.rfc3339() == "2026-01-01T00:00:00Z"
    assert clock.rfc3339_micro() == "2026-01-01T00:00:00.000000Z"
    assert clock.parse_rfc3339("2026-01-01T01:00:00+01:00") == clock.timestamp()


def test_days() -> None:
    assert clock.is_day("2026-02-28")
    assert not any(map(clock.is_day, ("", "2026-02-30", "20260228", "2026-2-8", "2026-02-28T00:00:00Z")))
