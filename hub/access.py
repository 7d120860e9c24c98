"""Who may call the API, as whom, and how often."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItem, parse_many

from hub.errors import Forbidden, InvalidInput, Unauthorized
from hub.keys import digest_of
from hub.rates import Rates
from hub.settings import Settings

PAGE_OWNER = "page"
"""Whose the page's jobs are: nobody's who calls the API. Those of one browser have an owner that begins so."""
_SUBNET_BITS = 64
"""One IPv6 subscriber has at least so many bits to himself, and could use another address for every request."""


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    owner: of the jobs that he sends: `key:` or `address:` and 32 hexadecimal digits; says nothing about either.
    limited_to: the owner whose jobs alone he may see; None where whoever knows a task's id may use it.
    """

    owner: str
    operator: bool
    limited_to: str | None

    def may_see(self, owner: str) -> bool:
        """Whether the jobs of `owner` are his to see, cancel, resume and delete."""
        return self.limited_to is None or owner == self.limited_to or owner.startswith(f"{self.limited_to}:")


class Access:
    """Tells callers apart by key or address, and counts their requests.

    required: a key is asked for. page: whoever uses the page. Keys are known by their SHA-256 alone.
    Any thread may call.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidInput (`bad_setting`) for a rate limit that says nothing."""
        self._operators = frozenset(settings.operator_keys)
        self._digests = (*settings.operator_keys, *settings.api_keys)
        self.required = bool(settings.api_keys)
        self.page = Caller(PAGE_OWNER, operator=False, limited_to=PAGE_OWNER if self.required else None)
        self._rates = Rates(_parse(settings.rate_limit), [_owner_of_digest(digest) for digest in self._digests])

    def identify(self, key: str | None, address: str) -> Caller:
        """The caller who gave `key`, or none, from a client's address.

        Raises Unauthorized for a wrong key and, where one is required, for none; TooManyRequests when that happens
        too often, for each is counted against the address.
        """
        if key is None or not self._digests:
            if self.required:
                self._rates.count(owner_of_address(address))
                raise Unauthorized(
                    "key_required", "The hub asks for a key: send it as X-API-Key, or as Authorization: Bearer."
                )
            return Caller(owner_of_address(address), operator=False, limited_to=None)
        digest = digest_of(key)
        known = None
        for candidate in self._digests:  # All of them, so that the time tells nothing.
            if hmac.compare_digest(candidate, digest):
                known = candidate
        if known is None:
            self._rates.count(owner_of_address(address))
            raise Unauthorized("wrong_key", "The key is not one of the hub's; please check it.")
        owner = _owner_of_digest(known)
        return Caller(owner, operator=known in self._operators, limited_to=owner if self.required else None)

    def count(self, caller: Caller) -> None:
        """Count one request. Raises TooManyRequests when it is one too many; it then counts for nothing."""
        self._rates.count(caller.owner)

    def count_visitor(self, address: str) -> None:
        """As `count`, for one who uses the page from this address; it is his who calls the API from there, too."""
        self._rates.count(owner_of_address(address))

    @staticmethod
    def owner_of_browser(secret: str) -> str:
        """The owner of what is sent by one browser's page; secret: a word that only this browser knows."""
        return f"{PAGE_OWNER}:{hashlib.sha256(secret.encode()).hexdigest()[:32]}"

    def check_operator(self, caller: Caller) -> None:
        """Raises Forbidden for what is the operator's alone, where keys of the operator are set."""
        if self._operators and not caller.operator:
            raise Forbidden("operators_only", "Only the operator may do this; send one of HUB_OPERATOR_KEYS.")


def _parse(text: str | None) -> list[RateLimitItem]:
    """Raises InvalidInput (`bad_setting`)."""
    if text is None:
        return []
    right = "such as 100/minute, or 100/minute;2000/hour"
    try:
        limits = parse_many(text)
    except ValueError as error:
        raise InvalidInput("bad_setting", f"HUB_RATE_LIMIT: {text!r} is not a limit; write one {right}.") from error
    if any(limit.amount < 1 or limit.get_expiry() < 1 for limit in limits):
        raise InvalidInput("bad_setting", f"HUB_RATE_LIMIT: {text!r} would let nobody in; write one {right}.")
    return limits


def _owner_of_digest(digest: str) -> str:
    return f"key:{digest.removeprefix('sha256:')[:32]}"


def owner_of_address(address: str) -> str:
    """The same for all addresses that one IPv6 subscriber has, and for an IPv4 address however it is written."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        name = address
    else:
        if isinstance(parsed, IPv6Address):
            name = str(parsed.ipv4_mapped or ip_network((parsed, _SUBNET_BITS), strict=False))
        else:
            name = str(parsed)
    return f"address:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
