"""The pipeline file's tables: what every key means, its type, default and an example. The reference is made of this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, defstruct, field

from shp_miner.sources.table import ROWS
from shp_miner.units import Duration, Seconds, Size

FormatName = Literal["pairs", "shp", "trl", "trl-text", "kto", "ranking", "sft", "bandit"]

if TYPE_CHECKING:
    SourceKind = str
else:
    #: The table of platforms says which; type checkers cannot read it.
    SourceKind = Literal[tuple(ROWS)]

_Count = Annotated[int, Meta(ge=1)]
_Share = Annotated[float, Meta(ge=0, lt=1)]


class SourceKeys(Struct, frozen=True, kw_only=True):
    """A living forum to crawl."""

    kind: Annotated[
        SourceKind,
        Meta(description="The source; docs/crawling.md has what each gives.", examples=["discourse"]),
    ]
    communities: Annotated[
        list[str], Meta(min_length=1, description="Communities to crawl.", examples=[["support", "howto"]])
    ]
    site: Annotated[
        str | None,
        Meta(
            description=f"The forum's host ({', '.join(row.name for row in ROWS.values() if row.runs_on_many)}).",
            examples=["meta.discourse.org"],
        ),
    ] = None
    url: Annotated[
        str | None, Meta(description="The API's address where it is elsewhere.", examples=["http://127.0.0.1:8000"])
    ] = None
    allow_private: Annotated[bool, Meta(description="Allow private and loopback addresses.", examples=[True])] = False
    limit: Annotated[
        _Count | None, Meta(description="Read at most so many threads of each community in a run.", examples=[200])
    ] = None


class ImportKeys(Struct, frozen=True, kw_only=True):
    """Dump files to import. A file is read once, and again when its size or time has changed."""

    kind: Annotated[
        Literal["reddit-dump", "stackexchange-dump", "discourse-json", "threads"],
        Meta(description="The kind of dump.", examples=["reddit-dump"]),
    ]
    paths: Annotated[
        list[str],
        Meta(min_length=1, description="Files or folders; * and ? stand for any.", examples=[["dumps/*.zst"]]),
    ]
    communities: Annotated[
        list[str], Meta(description="Import only these (reddit-dump).", examples=[["askacademia"]])
    ] = field(default_factory=list)
    site: Annotated[
        str | None,
        Meta(
            description="The forum's host, where no file or folder says it (stackexchange-dump, discourse-json).",
            examples=["forum.example.org"],
        ),
    ] = None
    vote_history: Annotated[
        bool, Meta(description="Also what scores were before, from Votes.xml (stackexchange-dump).", examples=[True])
    ] = False


class RecheckKeys(Struct, frozen=True, kw_only=True):
    """Visits to threads as they age."""

    enabled: Annotated[
        bool, Meta(description="Visit threads again, so that deletions and later votes are seen.", examples=[False])
    ] = True
    at: Annotated[
        list[Duration],
        Meta(min_length=1, description="Ages at which a thread is visited.", examples=[["1d", "7d", "30d"]]),
    ] = field(default_factory=lambda: [Duration(hours * 3600) for hours in (6, 24, 72, 168, 720)])
    older_than: Annotated[
        Duration | None,
        Meta(description="Also visit every thread that was not read for this long.", examples=["90d"]),
    ] = None
    limit: Annotated[
        _Count | None, Meta(description="Visit at most N threads of each community in a run.", examples=[500])
    ] = None


class ForgetKeys(Struct, frozen=True, kw_only=True):
    """A list of what people asked to be forgotten."""

    file: Annotated[
        str | None,
        Meta(description="A text file as `forget --file` takes it; read when it has changed.", examples=["forget.txt"]),
    ] = None


class ExportKeys(Struct, frozen=True, kw_only=True):
    """An export, made anew when the store or a setting has changed."""

    out: Annotated[str, Meta(description="Its folder.", examples=["data/eli5"])]
    formats: Annotated[
        list[FormatName],
        Meta(min_length=1, description="Formats; several each get a folder of their own.", examples=[["trl"]]),
    ] = field(default_factory=lambda: ["pairs"])
    communities: Annotated[
        list[str], Meta(description="Only these communities of its sites.", examples=[["explainlikeimfive"]])
    ] = field(default_factory=list)
    sites: Annotated[
        list[str],
        Meta(
            description='Only these sites, whatever this file crawls or imports; "*" is all that the store holds. '
            "Without, what this file crawls and imports.",
            examples=[["lemmy.world"]],
        ),
    ] = field(default_factory=list)
    validation: Annotated[_Share, Meta(description="Share of threads for validation.", examples=[0.1])] = 0.05
    test: Annotated[_Share, Meta(description="Share of threads for test.", examples=[0.1])] = 0.05
    rule: Annotated[
        dict[str, Any],
        Meta(description="Keys as in [rule], for this export alone.", examples=[{"name": "calibrated"}]),
    ] = field(default_factory=dict)


class LimitKeys(Struct, frozen=True, kw_only=True):
    """What a run may use."""

    max_seconds: Annotated[
        Seconds | None, Meta(description="Ask sites for at most so long; exports come after.", examples=["20m"])
    ] = None
    max_requests: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="Send at most so many requests.", examples=[2000])
    ] = None
    min_free: Annotated[
        Size, Meta(description="Stop before less than this is free on the store's disk.", examples=["5GB"])
    ] = Size(1_000_000_000)
    workers: Annotated[_Count | None, Meta(description="Processes to work with; the cores.", examples=[1])] = None
    memory: Annotated[
        Size | None, Meta(description="Memory to keep within; half the machine's.", examples=["2GiB"])
    ] = None


class LogKeys(Struct, frozen=True, kw_only=True):
    """What a run tells."""

    format: Annotated[
        Literal["auto", "human", "json"],
        Meta(
            description="Lines on stderr: for people on a terminal and JSON elsewhere, or always one.",
            examples=["json"],
        ),
    ] = "auto"
    metrics: Annotated[
        str | None,
        Meta(description="A Prometheus text file, for node_exporter's textfile collector.", examples=["shp.prom"]),
    ] = None


_SECRET = Annotated[str, Meta(pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$")] | None


_CREDENTIALS = (
    'Secrets, by the name of the environment variable that holds them: "${NAME}". Nothing else is taken here.'
)

if TYPE_CHECKING:

    class CredentialKeys(Struct, frozen=True, kw_only=True):
        """Its keys are those of the table of platforms."""
else:
    CredentialKeys = defstruct(
        "CredentialKeys",
        [
            (one.key, Annotated[_SECRET, Meta(description=one.about, examples=[one.example])], None)
            for row in ROWS.values()
            for one in row.credentials
        ],
        module=__name__,
        namespace={"__doc__": _CREDENTIALS},
        frozen=True,
        kw_only=True,
    )


class Pipeline(
    Struct, frozen=True, kw_only=True, rename={"imports": "import", "sources": "source", "exports": "export"}
):
    """The whole file. Relative paths start at the file's folder."""

    store: Annotated[str, Meta(description="The store's folder.", examples=["stores/eli5"])] = "data/store"
    sources: list[SourceKeys] = field(default_factory=list)
    imports: list[ImportKeys] = field(default_factory=list)
    recheck: RecheckKeys = field(default_factory=RecheckKeys)
    forget: ForgetKeys = field(default_factory=ForgetKeys)
    rule: dict[str, Any] = field(default_factory=dict)
    exports: list[ExportKeys] = field(default_factory=list)
    limits: LimitKeys = field(default_factory=LimitKeys)
    log: LogKeys = field(default_factory=LogKeys)
    credentials: CredentialKeys = field(default_factory=CredentialKeys)
