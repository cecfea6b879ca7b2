"""Addresses that belong to a person: e-mail, as it is or as "name (at) host", and IP addresses.

Names and ranges kept for documentation are nobody's (RFC 2606, 5737, 3849, 9637). Private ranges, public resolvers and
the four parts of a version are left alone, too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from shp_miner.clean.numbers import Span

_NAME = r"(?:[\w.%+-]|\\_|(?<=\w)'(?=\w)){1,64}"
_LABEL = r"[\w-]{1,63}"
_EMAIL = re.compile(rf"(?<![\w.%+\\@/'-]){_NAME}@(?:{_LABEL}\.){{1,6}}[^\W\d_]{{2,24}}(?![\w@-]|\.\w)")
_AT = r"[ ]{0,2}[(\[{<][ ]?(?:at|ät|AT|At|@)[ ]?[)\]}>][ ]{0,2}"
_DOT = r"(?:\.|[ ]{0,2}[(\[{<][ ]?(?:dot|DOT|Dot|punkt|\.)[ ]?[)\]}>][ ]{0,2}|[ ](?:dot|DOT)[ ])"
_WRITTEN = re.compile(
    rf"(?<![\w.%+-])(?:[\w%+-]{{1,64}}{_DOT}){{0,3}}[\w%+-]{{1,64}}(?:{_AT}(?:{_LABEL}{_DOT}){{1,4}}"
    rf"|[ ](?:at|AT)[ ](?:{_LABEL}[ ](?:dot|DOT)[ ]){{1,4}})(?P<top>[A-Za-z]{{2,6}})(?!\w)"
)
#: Top-level domains behind a written "at": any of two letters where brackets say it, these where only words do.
_TOP = "com|org|net|edu|gov|info|biz|name|email|dev|app|xyz"
_OF_COUNTRIES = "de|uk|fr|nl|ch|eu|au|ca|se|jp|io|ru|pl|es|cz|dk|fi|br|cn|kr"
_IN_BRACKETS, _IN_WORDS = re.compile(rf"{_TOP}|[a-z]{{2}}"), re.compile(f"{_TOP}|{_OF_COUNTRIES}")
#: A place or a thing that somebody is at, and no host.
_AT_SOMETHING = re.compile(r" at (?:the|an?|my|his|her|our|your|their|this|that|any|each)\b", re.IGNORECASE)
#: Ends of the names of files, which look like those of hosts.
_FILE = re.compile(
    "png|jpe?g|gif|svg|webp|[jt]sx?|s?css|py|rb|rs|php|html?|json|ya?ml|toml|xml|md|txt|pdf|zip|gz|tar|exe|dll|jar|java|"
    "[ch]pp|lock|log|csv|mp[34]"
)
_NOBODY = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org|edu))?|test|invalid|localhost|local|internal|lan)$", re.IGNORECASE
)
#: Accounts of programs: the address of a repository, and no one's mail.
_PROGRAMS = ("git", "hg", "svn")
_IN_ADDRESS = re.compile(r"://[^\s/]{0,80}$")

_IPV4 = re.compile(
    r"(?<![\w.,:-])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\w|-(?:\d|alpha|beta|rc|dev|pre|snapshot|release))"
    r"|(?<=[Pp]:)(?:\d{1,3}\.){3}\d{1,3}(?![\w.])",
    re.ASCII,
)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII)
_RELEASE = re.compile(
    r"(?:(?:\b|(?<=\w)(?=[Vv]ersion))(?:versions?|ver|v|releases?|firmware|builds?|kernel|drivers?|software|bios|oid|sdk|api"
    r"|tags?|semver|patch|updates?|upgrade[ds]?|downgrade[ds]?|sections?|sect|sec|chapters?|ch|articles?|art|figures?|fig|"
    r"tables?|clause|rules?|appendix|items?|parts?|theorem|lemma|problem|exercise|eq|equation|apache|nginx|chrome|chromium"
    r"|firefox|safari|edge|opera|android|ios|macos|windows|ubuntu|debian|python|java|node|mysql|postgres|nvidia|cuda|"
    r"unity|unreal|opencv|office)\b[\s.:#\"'=]{0,5}(?:(?:to|is|was|from) )?"
    r"(?:(?:\d+\.){3}\d+[ ]?(?:to|->|→|and|or|,)[ ])?|§[ ]?|[A-Za-z\d]/|[=<>~!^]=[ ]?)$",
    re.IGNORECASE,
)
#: Words behind a number that say the same.
_RELEASED = re.compile(
    r"[ ](?:series|releases?|(?:was|is|got) released|builds?|updates?|drivers?|firmware)\b", re.IGNORECASE
)
_HOST = re.compile(
    r"(?:\b(?:ip|ips|address|addr|host|server|ping|from|ssh|traceroute|client|login|peer)\b[^\w\n]{0,3}"
    r"(?:is |was |address )?|://|@)$",
    re.IGNORECASE,
)
_LARGE, _LARGE_ONES = 20, 2
_RESOLVERS = frozenset((
    "1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "208.67.222.222", "208.67.220.220",
    "2606:4700:4700::1111", "2606:4700:4700::1001", "2001:4860:4860::8888", "2001:4860:4860::8844", "2620:fe::fe",
))  # fmt: skip
_UNICAST = ipaddress.IPv6Network("2000::/3")
_DOCUMENTED = (ipaddress.IPv6Network("2001:db8::/32"), ipaddress.IPv6Network("3fff::/20"))
_LOOK_BACK = 32


def emails(text: str) -> Iterator[Span]:
    """Yield e-mail addresses with an "@"."""
    for found in _EMAIL.finditer(text):
        name, _, host = found[0].partition("@")
        if _FILE.fullmatch(host.rpartition(".")[2].lower()) or _NOBODY.search(host) or name.lower() in _PROGRAMS:
            continue
        if not _IN_ADDRESS.search(text, max(0, found.start() - 100), found.start()):
            yield found.span()


def written_emails(text: str) -> Iterator[Span]:
    """Yield e-mail addresses whose "@" is written: "name (at) host.org", "name at host dot com"."""
    for found in _WRITTEN.finditer(text):
        top = found["top"].lower()
        known = _IN_WORDS if " at " in found[0].lower() else _IN_BRACKETS
        if known.fullmatch(top) and not _FILE.fullmatch(top) and not _AT_SOMETHING.search(found[0]):
            yield found.span()


def ipv4_addresses(text: str) -> Iterator[Span]:
    """Yield IPv4 addresses of the public internet."""
    for found in _IPV4.finditer(text):
        before = text[max(0, found.start() - _LOOK_BACK) : found.start()]
        try:
            address = ipaddress.IPv4Address(found[0])
        except ValueError:
            continue
        large = sum(part >= _LARGE for part in address.packed)
        if not address.is_global or address.is_multicast or found[0] in _RESOLVERS or _is_release(text, found):
            continue
        if large >= _LARGE_ONES or _HOST.search(before):
            yield found.span()


def _is_release(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - _LOOK_BACK) : found.start()]
    return bool(_RELEASE.search(before) or _RELEASED.match(text, found.end()))


def ipv6_addresses(text: str) -> Iterator[Span]:
    """Yield IPv6 addresses of the public internet (2000::/3)."""
    for found in _IPV6.finditer(text):
        written = found[0][:-1] if found[0].endswith(":") and not found[0].endswith("::") else found[0]
        try:
            address = ipaddress.IPv6Address(written)
        except ValueError:
            continue
        if address in _UNICAST and not any(address in net for net in _DOCUMENTED) and written not in _RESOLVERS:
            yield found.start(), found.start() + len(written)
