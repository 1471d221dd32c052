"""The cache of two generations."""

from __future__ import annotations

from pybernetes.network.dns.cache import Generations


def test_what_is_in_use_stays() -> None:
    cache: Generations[int, str] = Generations(10)
    young = cache.young
    cache.put(0, "used")
    for key in range(1, 1000):
        cache.put(key, "once")
        assert cache.get(0) == "used"
        assert len(cache) <= 10
    assert cache.get(500) is None
    assert all(cache.get(key) == "once" for key in range(995, 1000))
    assert cache.young is young


def test_a_value_is_replaced_in_either_generation() -> None:
    cache: Generations[str, int] = Generations(2)
    cache.put("a", 1)
    cache.put("b", 1)  # "a" is old now
    cache.put("a", 2)
    assert cache.get("a") == 2
    cache.put("a", 3)
    assert cache.get("a") == 3
    assert len(cache) <= 2


def test_all_is_forgotten() -> None:
    cache: Generations[str, int] = Generations(4)
    for key in "abcd":
        cache.put(key, 1)
    cache.clear()
    assert len(cache) == 0
    assert cache.get("a") is None
