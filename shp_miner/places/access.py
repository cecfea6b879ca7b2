"""How object stores are reached: clients, credentials, retries, and refusals in words.

Credentials come from the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`), from AWS's two files of profiles, or from the
machine itself (roles of instances and containers). No message, log or file of shp-miner has any: what a store answers
may repeat a token, so its text is read here and never passed on.
"""

from __future__ import annotations

import configparser
import errno
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shp_miner.errors import BadInput, Error, NotAllowed, TryLater, UsageError, known_by_text

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

log = logging.getLogger("shp_miner")

#: How often a request is repeated, the seconds before that (at first, at most), and the seconds after which none is.
#: Each wait is drawn from the first up to this many times the one before. Together they take about half a minute.
RETRIES = 8
_WAIT_S, _LONGEST_WAIT_S, _GIVE_UP_S, _GROWTH = 0.2, 10.0, 120.0, 4

#: Seconds without a byte after which a connection counts as broken, seconds that a connection may take, and seconds
#: for a whole request of a library that knows no silence.
_SILENCE_S, _CONNECT_S, _REQUEST_S = 30, 10, 120

#: The variables that name a server of one's own.
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}

#: The beginnings of the variables that clients read.
_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_")

#: Variables from which a role of the machine's own takes its credentials; profiles are then not read.
_ROLES = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
          "AWS_CONTAINER_CREDENTIALS_FULL_URI")  # fmt: skip


def storage_options(scheme: str) -> dict[str, str]:
    """Return the options by which delta-rs and polars reach the stores of a scheme (s3, gs, az) as `client` does.

    They read the same variables of the environment themselves; these are what the environment does not say. They may
    have secrets: hand them to a library, and write them nowhere.
    """
    backoff = {"init_backoff": _WAIT_S, "max_backoff": _LONGEST_WAIT_S}
    retries = {f"backoff_config.{name}": f"{seconds * 1000:.0f}ms" for name, seconds in backoff.items()}
    retries |= {"backoff_config.base": str(_GROWTH), "max_retries": str(RETRIES), "retry_timeout": f"{_GIVE_UP_S:.0f}s"}
    # It knows no silence, only the time of a whole request; entries and checkpoints of a log are small.
    return _store_options(scheme) | retries | {"timeout": f"{_REQUEST_S}s"}


def scan_options(scheme: str) -> dict[str, str | int]:
    """Return the same for polars, which has words and units of its own for retries."""
    retries = {
        "retry_init_backoff_ms": _WAIT_S,
        "retry_max_backoff_ms": _LONGEST_WAIT_S,
        "retry_timeout_ms": _GIVE_UP_S,
    }
    numbers = {name: round(seconds * 1000) for name, seconds in retries.items()}
    numbers |= {"retry_base_multiplier": _GROWTH, "max_retries": RETRIES}
    return _store_options(scheme) | numbers | {"read_timeout": f"{_SILENCE_S}s"}


def _store_options(scheme: str) -> dict[str, str]:
    options = {"connect_timeout": f"{_CONNECT_S}s", "timeout": "600s"} | (_profile() if scheme == "s3" else {})
    if not _may_be_plain(scheme, options):
        return options
    return options | {"allow_http": "true"} | ({"aws_allow_http": "true"} if scheme == "s3" else {})


def library() -> Any:
    """Return the module obstore. Raises UsageError without it: the extra `objects` brings it."""
    try:
        import obstore  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise UsageError(
            "s3://, gs:// and az:// need the library obstore.", "Install the extra: pip install 'shp-miner[objects]'."
        ) from error
    return obstore


def client(scheme: str, bucket: str, *, retries: bool = True) -> ObjectStore:
    """Return obstore's client of a bucket, the same one while the environment and the profile say the same.

    Without `retries`, each request is made once, and many objects are deleted by one request. Raises NotAllowed where
    the environment names credentials that cannot be read.
    """
    library()
    settings = _profile() if scheme == "s3" else {}
    known = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_VARIABLES)))
    with refusals(f"{scheme}://{bucket}"):
        return _client(scheme, bucket, tuple(sorted(settings.items())), known, retries)


@lru_cache(64)
def _client(
    scheme: str, bucket: str, settings: tuple[tuple[str, str], ...], _known: tuple[tuple[str, str], ...], retries: bool
) -> ObjectStore:
    """Make a client. It reads the environment itself: `_known` is what it finds there, so that a change is seen."""
    from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415

    config: Any = dict(settings)
    options: Any = {"connect_timeout": f"{_CONNECT_S}s", "read_timeout": f"{_SILENCE_S}s", "timeout": "600s"}
    options |= {"allow_http": True} if _may_be_plain(scheme, config) else {}
    if scheme == "s3":
        config["disable_bulk_delete"] = str(retries).lower()  # some servers know no request for many
        return S3Store(bucket, config=config, client_options=options, retry_config=_retries(retries))
    kind = GCSStore if scheme == "gs" else AzureStore
    return kind(bucket, client_options=options, retry_config=_retries(retries))


def _retries(wanted: bool) -> RetryConfig:
    return {
        "max_retries": RETRIES if wanted else 0,
        "retry_timeout": timedelta(seconds=_GIVE_UP_S),
        "backoff": {
            "init_backoff": timedelta(seconds=_WAIT_S),
            "max_backoff": timedelta(seconds=_LONGEST_WAIT_S),
            "base": _GROWTH,
        },
    }


def waits() -> Iterator[float]:
    """Yield the seconds before each repetition of a request that the client does not repeat itself."""
    for turn in range(RETRIES):
        yield min(_WAIT_S * 2**turn, _LONGEST_WAIT_S)


def _endpoint(scheme: str, settings: Mapping[str, str]) -> str:
    """Return the address of a server of one's own, as the environment names it; "" for the provider's."""
    named = next((os.environ[name] for name in _ENDPOINTS[scheme] if os.environ.get(name)), "")
    return named or settings.get("aws_endpoint_url", "")


def _may_be_plain(scheme: str, settings: Mapping[str, str]) -> bool:
    """Return whether requests may go without encryption: to a server of one's own that is named so, or if told."""
    told = os.environ.get(f"{_ENDPOINTS[scheme][0].partition('_')[0]}_ALLOW_HTTP", "")
    return _endpoint(scheme, settings).startswith("http://") or told.lower() in ("1", "true")


def _profile() -> dict[str, str]:
    """Return the settings of AWS's files (of AWS_PROFILE, else `default`) that the environment does not give."""
    name = os.environ.get("AWS_PROFILE", "default")
    found: dict[str, str] = {}
    for variable, usual, sections in (
        ("AWS_CONFIG_FILE", "~/.aws/config", (f"profile {name}", name)),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", (name,)),
    ):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(Path(os.environ.get(variable) or usual).expanduser(), encoding="utf-8")
        except (OSError, configparser.Error, UnicodeDecodeError, RuntimeError):
            log.debug("%s could not be read", variable)
            continue
        for section in sections:
            if parser.has_section(section):
                found |= dict(parser.items(section))
    wanted: dict[str, str] = {}
    if not any(os.environ.get(variable) for variable in _ROLES):
        keys = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        wanted |= {key: found[key] for key in keys if found.get(key)}
    if found.get("region") and not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        wanted["aws_region"] = found["region"]
    if found.get("endpoint_url") and not _endpoint("s3", {}):
        wanted["aws_endpoint_url"] = found["endpoint_url"]
    return wanted


# -- refusals ---------------------------------------------------------------------------------------------------------

_EXPIRED = ("ExpiredToken", "TokenRefreshRequired", "RequestExpired", "token has expired", "token is expired",
            "ExpiredTokenException", "Signature not valid in the specified time frame")  # fmt: skip
_NO_CREDENTIALS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal", "Missing credentials",
                   "MissingCredentials", "InstanceCredentials", "MissingAccessKey",
                   "Account must be specified")  # fmt: skip
_UNREADABLE = ("service account file", "Invalid Access Key")

#: What to do where there are none.
_CREDENTIALS = {
    "s3": "Set the variables of its store, for s3:// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SERVICE_ACCOUNT.",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY.",
}
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "specified bucket does not exist")
#: delta-rs breaks its text into lines, with arrows and colours between.
_STATUS = re.compile(r"status code\b(?:\x1b\[\d*m|\W)*([1-5]\d\d)\b")


@contextmanager
def refusals(url: str) -> Iterator[None]:
    """Turn what obstore raises in the block into FileNotFoundError, FileExistsError or an Error about `url`."""
    from obstore.exceptions import BaseError  # noqa: PLC0415

    try:
        yield
    except (BaseError, FileNotFoundError, FileExistsError, PermissionError, TimeoutError, ValueError) as error:
        refused = in_words(error, url)
    else:
        return
    # Not as the cause: a traceback would show what the store answered.
    raise refused from None


def in_words(error: BaseException, url: str) -> Exception:
    """Return what a store's client raised as an error of ours, or as the two that a disk has. No secret is in it."""
    text, kind = str(error), type(error).__name__
    bucket = "/".join(url.split("/")[:3])
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    log.debug("%s: %s, status %s", url, kind, status or "none")
    if any(word in text for word in _NO_BUCKET):
        return BadInput(f"{bucket} does not exist.", "Correct the name, or make the bucket first.")
    if (denied := _denied(text, kind, status, bucket)) is not None:
        return denied
    if isinstance(error, FileNotFoundError) or status == 404:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
    if kind == "AlreadyExistsError" or isinstance(error, FileExistsError):
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url)
    if kind == "PreconditionError":
        return TryLater(f"{url} was changed by another process meanwhile.", "Run the same command again.")
    return _failed(kind, status, bucket)


#: How delta-rs and polars begin what an object store answered them.
_OF_LIBRARY = re.compile(r"object.store error|Generic \w+ error|Error performing [A-Z]+ https?://", re.IGNORECASE)

#: What the same libraries say of a disk: their own name of it, or the system's numbers of errors of files (no such
#: file, input or output, not permitted, no space, read-only, name too long, quota).
_OF_DISK = re.compile(r"LocalFileSystem|\(os error (?:2|5|13|28|30|36|122)\)")


def of_library(error: Exception) -> Error | None:
    """Return what delta-rs or polars raised for an object store as an error of ours; None for other errors.

    Their text has the server's answer, which may repeat a token: it is read and not passed on.
    """
    text = str(error)
    if isinstance(error, Error) or _OF_DISK.search(text) or _OF_LIBRARY.search(text) is None:
        return None
    told = in_words(error, "The object store")
    return told if isinstance(told, Error) else None


known_by_text.append(of_library)


def _denied(text: str, kind: str, status: int, bucket: str) -> NotAllowed | None:
    if any(word in text for word in _EXPIRED):
        return NotAllowed(
            f"The credentials for {bucket} have expired.",
            "Renew them, and run the same command again: it goes on where it was.",
        )
    if any(word in text for word in _NO_CREDENTIALS):
        return NotAllowed(f"There are no credentials for {bucket}.", _credentials_hint(bucket))
    if any(word in text for word in _UNREADABLE):
        return NotAllowed(f"The credentials for {bucket} cannot be read.", _credentials_hint(bucket))
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or status in (401, 403):
        return NotAllowed(
            f"{bucket} refused the credentials (status {status or 403}).",
            "Check them, what they may do in this bucket, and this machine's clock.",
        )
    return None


def _credentials_hint(bucket: str) -> str:
    return _CREDENTIALS.get(bucket.partition(":")[0], _CREDENTIALS["s3"])


def _failed(kind: str, status: int, bucket: str) -> Error:
    if kind in ("InvalidPathError", "UnknownConfigurationKeyError", "NotSupportedError", "ValueError"):
        return UsageError(f"{bucket} cannot be reached: {kind}.", "Check the URL and the variables of its store.")
    if 300 <= status < 500 and status not in (408, 425, 429):
        return BadInput(
            f"{bucket} refused the request (status {status}).",
            "Check its name, its region, and the variable with its server (AWS_ENDPOINT_URL for s3://).",
        )
    why = f"status {status}" if status else "no answer"
    return TryLater(
        f"{bucket} does not answer as it should ({why}), after {RETRIES} more tries.",
        "Run the same command again later: it goes on where it was.",
    )
