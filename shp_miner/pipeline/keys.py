"""The tables of a pipeline file: each key with its type, default, example and description, for the reference too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, defstruct, field

from shp_miner.sources.table import ROWS
from shp_miner.units import Duration, Seconds, Size

FormatName = Literal["pairs", "shp", "trl", "chat-pairs", "trl-text", "kto", "ranking", "sft", "bandit"]

if TYPE_CHECKING:
    SourceKind = str
else:
    #: The names in the table of platforms; type checkers cannot read them.
    SourceKind = Literal[tuple(ROWS)]

_Count = Annotated[int, Meta(ge=1)]
_Share = Annotated[float, Meta(ge=0, lt=1)]


class SourceKeys(Struct, frozen=True, kw_only=True):
    """A live forum to crawl."""

    kind: Annotated[
        SourceKind,
        Meta(description="The source; see `shp-miner docs crawling`.", examples=["discourse"]),
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
        str | None,
        Meta(description="The API's address if it differs from the site's.", examples=["http://127.0.0.1:8000"]),
    ] = None
    allow_private: Annotated[bool, Meta(description="Allow private and loopback addresses.", examples=[True])] = False
    limit: Annotated[
        _Count | None, Meta(description="Read at most N threads per community and run.", examples=[200])
    ] = None


class ImportKeys(Struct, frozen=True, kw_only=True):
    """Dump files to import. Each file is read once, and again when its size or time has changed."""

    kind: Annotated[
        Literal["reddit-dump", "stackexchange-dump", "discourse-json", "threads", "table"],
        Meta(description="The kind of dump.", examples=["reddit-dump"]),
    ]
    paths: Annotated[
        list[str],
        Meta(min_length=1, description="Files or folders; * and ? are wildcards.", examples=[["dumps/*.zst"]]),
    ]
    communities: Annotated[
        list[str], Meta(description="Import only these communities (reddit-dump).", examples=[["askacademia"]])
    ] = field(default_factory=list)
    site: Annotated[
        str | None,
        Meta(
            description="The forum's host, if no file or folder has its name (stackexchange-dump, discourse-json); for "
            "published data sets (threads) the host instead of the one that the rows name.",
            examples=["forum.example.org"],
        ),
    ] = None
    map: Annotated[str | None, Meta(description="The map of the tables' columns (table).", examples=["map.toml"])] = (
        None
    )
    utc: Annotated[bool, Meta(description="Read times without a time zone as UTC (threads).", examples=[True])] = False
    vote_history: Annotated[
        bool, Meta(description="Also store earlier scores, from Votes.xml (stackexchange-dump).", examples=[True])
    ] = False


class RecheckKeys(Struct, frozen=True, kw_only=True):
    """Visits to threads at set ages."""

    enabled: Annotated[
        bool, Meta(description="Visit threads again, to find deletions and later votes.", examples=[False])
    ] = True
    at: Annotated[
        list[Duration],
        Meta(min_length=1, description="Ages at which a thread is visited.", examples=[["1d", "7d", "30d"]]),
    ] = field(default_factory=lambda: [Duration(hours * 3600) for hours in (6, 24, 72, 168, 720)])
    older_than: Annotated[
        Duration | None,
        Meta(description="Also visit threads not read for this long.", examples=["90d"]),
    ] = None
    limit: Annotated[
        _Count | None, Meta(description="Visit at most N threads per community and run.", examples=[500])
    ] = None


class ForgetKeys(Struct, frozen=True, kw_only=True):
    """A list of forget requests."""

    file: Annotated[
        str | None,
        Meta(description="A text file for `forget --file`; read again when it has changed.", examples=["forget.txt"]),
    ] = None


class ExportKeys(Struct, frozen=True, kw_only=True):
    """An export; written again when the store or a setting has changed."""

    out: Annotated[str, Meta(description="The export's folder.", examples=["data/eli5"])]
    formats: Annotated[
        list[FormatName],
        Meta(min_length=1, description="Formats to write; several formats get one folder each.", examples=[["trl"]]),
    ] = field(default_factory=lambda: ["pairs"])
    communities: Annotated[
        list[str], Meta(description="Export only these communities of the sites.", examples=[["explainlikeimfive"]])
    ] = field(default_factory=list)
    sites: Annotated[
        list[str],
        Meta(
            description='Export these sites; "*" is the whole store. '
            "Default: the communities that this file crawls and imports.",
            examples=[["lemmy.world"]],
        ),
    ] = field(default_factory=list)
    validation: Annotated[_Share, Meta(description="Share of threads for validation.", examples=[0.1])] = 0.05
    test: Annotated[_Share, Meta(description="Share of threads for test.", examples=[0.1])] = 0.05
    layout: Annotated[
        Literal["joined", "compact"],
        Meta(description="Repeat texts in every pair, or write each once.", examples=["compact"]),
    ] = "joined"
    margin: Annotated[
        bool,
        Meta(description="Add TRL's column margin (trl, chat-pairs, trl-text).", examples=[True]),
    ] = False
    refit: Annotated[
        bool,
        Meta(description="Fit how votes follow attention anew each time, not only after a drift.", examples=[True]),
    ] = False
    report: Annotated[
        bool,
        Meta(
            description="Write `report.html` with pictures after each export. Needs the extra `report`.",
            examples=[True],
        ),
    ] = False
    decontaminate: Annotated[
        list[str],
        Meta(description="Leave out texts that hold an item of these evaluation sets.", examples=[["eval/mmlu.jsonl"]]),
    ] = field(default_factory=list)
    decontaminate_columns: Annotated[
        list[str],
        Meta(description="Columns of these files to take items from; default: all texts.", examples=[["question"]]),
    ] = field(default_factory=list)
    decontaminate_preset: Annotated[
        Literal["default", "strict"],
        Meta(description="8 words in a row must be the same, or 13 (strict).", examples=["strict"]),
    ] = "default"
    clean: Annotated[
        dict[str, Any],
        Meta(description="Keys as in [clean], for this export only.", examples=[{"profile": "standard"}]),
    ] = field(default_factory=dict)
    rule: Annotated[
        dict[str, Any],
        Meta(description="Keys as in [rule], for this export only.", examples=[{"name": "calibrated"}]),
    ] = field(default_factory=dict)


class LimitKeys(Struct, frozen=True, kw_only=True):
    """Limits of a run."""

    max_seconds: Annotated[
        Seconds | None,
        Meta(description="Stop requests to sites after this long; exports still follow.", examples=["20m"]),
    ] = None
    max_requests: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Send at most N requests, including retries.", examples=[2000]),
    ] = None
    min_free: Annotated[
        Size, Meta(description="Stop if less than this is free on the store's disk.", examples=["5GB"])
    ] = Size(1_000_000_000)
    workers: Annotated[
        _Count | None, Meta(description="Use at most N processes. Default: the number of cores.", examples=[1])
    ] = None
    memory: Annotated[
        Size | None,
        Meta(description="Use at most this much memory. Default: half of the machine's.", examples=["2GiB"]),
    ] = None
    engine: Annotated[
        Literal["local", "ray", "slurm"],
        Meta(
            description="Where imports and exports run: this machine, a Ray cluster or a Slurm cluster.",
            examples=["ray"],
        ),
    ] = "local"
    address: Annotated[
        str | None,
        Meta(description="The Ray cluster's address. Default: RAY_ADDRESS, else none.", examples=["10.0.0.1:6379"]),
    ] = None


class LogKeys(Struct, frozen=True, kw_only=True):
    """The log and the metrics of a run."""

    format: Annotated[
        Literal["auto", "human", "json"],
        Meta(
            description="Log lines on stderr; auto is human on a terminal and json elsewhere.",
            examples=["json"],
        ),
    ] = "auto"
    metrics: Annotated[
        str | None,
        Meta(description="Write a Prometheus text file for node_exporter's textfile collector.", examples=["shp.prom"]),
    ] = None


_SECRET = Annotated[str, Meta(pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$")] | None


_CREDENTIALS = 'Secrets, by the name of the environment variable that holds them: "${NAME}". Other values are refused.'

if TYPE_CHECKING:

    class CredentialKeys(Struct, frozen=True, kw_only=True):
        """Secrets of the platforms; the table of platforms has the keys."""
else:
    CredentialKeys = defstruct(
        "CredentialKeys",
        [
            (
                credential.key,
                Annotated[_SECRET, Meta(description=credential.about, examples=[credential.example])],
                None,
            )
            for row in ROWS.values()
            for credential in row.credentials
        ],
        module=__name__,
        namespace={"__doc__": _CREDENTIALS},
        frozen=True,
        kw_only=True,
    )


class Pipeline(
    Struct, frozen=True, kw_only=True, rename={"imports": "import", "sources": "source", "exports": "export"}
):
    """A pipeline file. Relative paths start at the file's folder."""

    store: Annotated[str, Meta(description="The store's folder.", examples=["stores/eli5"])] = "data/store"
    sources: list[SourceKeys] = field(default_factory=list)
    imports: list[ImportKeys] = field(default_factory=list)
    recheck: RecheckKeys = field(default_factory=RecheckKeys)
    forget: ForgetKeys = field(default_factory=ForgetKeys)
    rule: dict[str, Any] = field(default_factory=dict)
    clean: dict[str, Any] = field(default_factory=dict)
    exports: list[ExportKeys] = field(default_factory=list)
    limits: LimitKeys = field(default_factory=LimitKeys)
    log: LogKeys = field(default_factory=LogKeys)
    credentials: CredentialKeys = field(default_factory=CredentialKeys)
