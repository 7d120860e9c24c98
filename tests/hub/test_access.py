from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import pytest

from hub.access import Access, Caller
from hub.errors import Forbidden, InvalidInput, TooManyRequests, Unauthorized
from hub.settings import Settings

ALICE, BOB, OPERATOR = "alices-key-long-enough", "bobs-key-long-enough", "the-operators-own-key"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def make(**settings: Any) -> Access:
    return Access(Settings(**settings))


def test_without_keys_callers_are_their_addresses() -> None:
    gate = make()

    caller = gate.identify(None, "192.0.2.1")

    assert not gate.required
    assert caller == Caller(f"address:{digest('192.0.2.1')[:32]}", operator=False, limited_to=None)
    assert gate.identify("whatever is sent", "192.0.2.1") == caller
    assert gate.identify(None, "192.0.2.2") != caller


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "testclient", False),
    ],
)
def test_one_subscriber_is_one_caller(first: str, second: str, same: bool) -> None:
    gate = make()

    assert (gate.identify(None, first) == gate.identify(None, second)) is same


def test_a_key_names_its_caller() -> None:
    gate = make(api_keys=[ALICE, BOB])

    alice, bob = gate.identify(ALICE, "192.0.2.1"), gate.identify(BOB, "192.0.2.1")

    assert gate.required
    assert alice.owner == f"key:{digest(ALICE)[:32]}" == alice.limited_to
    assert bob.limited_to == bob.owner != alice.owner
    assert gate.identify(ALICE, "192.0.2.99") == alice


@pytest.mark.parametrize("key", [None, "", "wrong", ALICE[:-1], f"{ALICE} ", "é" * 20, "\ud800", "x" * 100_000])
def test_no_other_key_is_taken(key: str | None) -> None:
    with pytest.raises(Unauthorized) as caught:
        make(api_keys=[ALICE]).identify(key, "192.0.2.1")

    assert caught.value.code == ("key_required" if key is None else "wrong_key")
    assert ALICE not in caught.value.message


def test_whoever_reads_the_settings_has_no_key() -> None:
    settings = Settings(api_keys=[ALICE], operator_keys=[OPERATOR])
    stored = [*settings.api_keys, *settings.operator_keys]

    assert stored == [f"sha256:{digest(ALICE)}", f"sha256:{digest(OPERATOR)}"]
    assert ALICE not in repr(settings)
    for text in (*stored, digest(ALICE)):
        with pytest.raises(Unauthorized):
            Access(settings).identify(text, "192.0.2.1")


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(first: str, second: str) -> bool:
        compared.append(first)
        return first == second

    monkeypatch.setattr(hmac, "compare_digest", compare)
    gate = make(api_keys=[ALICE, BOB], operator_keys=[OPERATOR])

    gate.identify(ALICE, "")
    first = list(compared)
    with pytest.raises(Unauthorized):
        gate.identify("wrong", "")

    assert sorted(first) == sorted(f"sha256:{digest(key)}" for key in (ALICE, BOB, OPERATOR))
    assert compared == first * 2


def test_the_operators_key_is_a_key() -> None:
    gate = make(api_keys=[ALICE], operator_keys=[OPERATOR])
    operator, alice = gate.identify(OPERATOR, ""), gate.identify(ALICE, "")

    gate.check_operator(operator)
    with pytest.raises(Forbidden):
        gate.check_operator(alice)
    assert (operator.operator, alice.operator) == (True, False)
    assert operator.limited_to == operator.owner


def test_operator_keys_alone_ask_nobody_else_for_one() -> None:
    gate = make(operator_keys=[OPERATOR])
    anybody = gate.identify(None, "192.0.2.1")

    assert not gate.required
    assert anybody.limited_to is None
    gate.check_operator(gate.identify(OPERATOR, "192.0.2.1"))
    with pytest.raises(Forbidden):
        gate.check_operator(anybody)
    with pytest.raises(Unauthorized):
        gate.identify("wrong", "192.0.2.1")


def test_without_operator_keys_everybody_may() -> None:
    gate = make(api_keys=[ALICE])

    gate.check_operator(gate.identify(ALICE, ""))


def test_requests_are_counted_by_caller() -> None:
    gate = make(rate_limit="3/minute")
    one, other = gate.identify(None, "192.0.2.1"), gate.identify(None, "192.0.2.2")
    for _ in range(3):
        gate.count(one)

    with pytest.raises(TooManyRequests) as caught:
        gate.count(one)
    gate.count(other)

    assert 55 <= caught.value.retry_after <= 60
    assert "3 per 1 minute" in caught.value.message


def test_the_window_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count does not begin anew at a full minute; and what was refused does not count."""
    now = 1_000_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gate = make(rate_limit="2/minute;3/hour")
    caller = gate.identify(None, "192.0.2.1")
    gate.count(caller)
    now += 40
    gate.count(caller)
    now += 10
    with pytest.raises(TooManyRequests) as caught:
        gate.count(caller)

    assert caught.value.retry_after == 10
    now += 10.1
    gate.count(caller)
    now += 60
    with pytest.raises(TooManyRequests, match="3 per 1 hour") as caught:
        gate.count(caller)
    assert 3400 < caught.value.retry_after <= 3600


def test_keys_cannot_be_guessed_at_any_speed() -> None:
    gate = make(api_keys=[ALICE], rate_limit="5/minute")
    for _ in range(5):
        with pytest.raises(Unauthorized):
            gate.identify("a guess", "192.0.2.1")

    with pytest.raises(TooManyRequests):
        gate.identify("a guess", "192.0.2.1")
    gate.count(gate.identify(ALICE, "192.0.2.1"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("often", "is not a limit"),
        ("10/fortnight", "is not a limit"),
        ("10", "is not a limit"),
        ("-1/minute", "is not a limit"),
        ("0/minute", "let nobody in"),
    ],
)
def test_a_bad_limit_is_refused_at_the_start(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        make(rate_limit=text)

    assert caught.value.code == "bad_setting"
    assert caught.value.message.startswith("HUB_RATE_LIMIT: ")


def test_the_page_has_a_name_of_its_own_and_its_visitors_their_addresses() -> None:
    gate = make(api_keys=[ALICE], rate_limit="2/minute")
    alice = gate.identify(ALICE, "192.0.2.1")
    assert not alice.may_see(gate.page.owner)
    assert not gate.page.may_see(alice.owner)
    assert gate.page.may_see("page")
    assert make().page.may_see(alice.owner)

    gate.count_visitor("192.0.2.1")
    with pytest.raises(Unauthorized):
        gate.identify("a guess", "192.0.2.1")
    with pytest.raises(TooManyRequests):
        gate.count_visitor("192.0.2.1")
    gate.count_visitor("192.0.2.2")
    gate.count(alice)


def test_proxies_are_networks_as_the_server_takes_them() -> None:
    assert Settings(trusted_proxies="10.1.2.3/8, 192.0.2.7,*").trusted_proxies == [
        "10.0.0.0/8",
        "192.0.2.7/32",
        "*",
    ]
