"""The platforms that can be crawled, one row each.

A row says what commands and pipeline files must know before a site is asked. How a site is asked, and how often, is
said in the module that the row names: its `LIMITS` and `opened` (see registry.Module). A new platform is that module
and a row; choices, keys, limits, costs and the embedded forum follow from both.

Importing the table must stay cheap: the help of commands reads it, so it imports no library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from shp_miner.platforms.sites import REDDIT, site_of


@dataclass(frozen=True)
class Costs:
    """Requests of a crawl: `start` at the beginning, one per `page` threads in a listing, `thread` per thread read.

    docs/crawling.md has the measurements.
    """

    start: int
    page: int
    thread: float


@dataclass(frozen=True)
class Credential:
    """A secret: its key in [credentials] of a pipeline file, and what it is. `may_be_empty`: its value may be ""."""

    key: str
    about: str
    example: str
    may_be_empty: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that the source reads."""
        return f"SHP_MINER_{self.key.upper()}"


@dataclass(frozen=True)
class Quota:
    """Requests answered per day, which ends at midnight UTC: without a key, and with the key of `credential`."""

    without_key: int
    with_key: int
    credential: Credential


@dataclass(frozen=True, kw_only=True)
class Row:
    """A platform as it can be crawled.

    `name` is the word on the command line, `title` the name in sentences, `module` the module that asks it, and `forum`
    the class that serves the embedded forum in its API ("module:class").

    A platform that runs on one site has `site`; others need --site and have an `example_site`. With `one_api`, one
    address answers for all sites and limits them together. `site_of` makes a site's name of what people write.

    `whole_site` is the community that stands for all of a site. `stored_as_written`: communities are stored under the
    names that people write; elsewhere a name may be an id or a part of a path.

    `software` is the name that sites give of their software ("lemmy" in nodeinfo), "" where they give none, and
    `sites_are` what a site is called. `credentials` are the secrets that it takes; with `needs_credentials` nothing is
    read without them (see registry.Guarded), and `preparation` says what users do first.
    """

    name: str
    title: str
    module: str
    forum: str
    costs: Costs
    site: str = ""
    example_site: str = ""
    one_api: bool = False
    site_of: Callable[[str], str] = site_of
    whole_site: str = ""
    stored_as_written: bool = False
    software: str = ""
    sites_are: str = "forum"
    credentials: tuple[Credential, ...] = ()
    needs_credentials: bool = False
    preparation: str = ""
    quota: Quota | None = None

    @property
    def runs_on_many(self) -> bool:
        """Whether a crawl needs the name of a site."""
        return not self.site


_STACKEXCHANGE_KEY = Credential("stackexchange_key", "Stack Exchange key.", "${SE_KEY}")

_ALL = (
    Row(
        name="reddit",
        title="Reddit",
        module="shp_miner.sources.reddit",
        forum="shp_miner.forum.serve.reddit:RedditApi",
        costs=Costs(2, 100, 1),
        site=REDDIT,
        stored_as_written=True,
        credentials=(
            Credential("reddit_client_id", "Reddit app's id.", "${REDDIT_ID}"),
            # An "installed app" has no secret.
            Credential("reddit_client_secret", "Reddit app's secret.", "${REDDIT_SECRET}", may_be_empty=True),
            Credential("reddit_user_agent", "Reddit user name of the app's owner.", "${REDDIT_USER}"),
        ),
        needs_credentials=True,
        preparation="Reddit requires an app of your own: `shp-miner docs crawling#reddit-credentials` says what to set",
    ),
    Row(
        name="arctic-shift",
        title="Arctic Shift",
        module="shp_miner.sources.arctic_shift",
        forum="shp_miner.forum.serve.arctic_shift:ArcticShiftApi",
        costs=Costs(1, 100, 1),
        site=REDDIT,
        stored_as_written=True,
    ),
    Row(
        name="stackexchange",
        title="Stack Exchange",
        module="shp_miner.sources.stackexchange",
        forum="shp_miner.forum.serve.stackexchange:StackExchangeApi",
        costs=Costs(1, 100, 0.02),
        example_site="cooking.stackexchange.com",
        one_api=True,
        site_of=partial(site_of, stackexchange=True),
        whole_site="all",
        stored_as_written=True,
        credentials=(_STACKEXCHANGE_KEY,),
        # As its API's page on throttles has them.
        quota=Quota(300, 10_000, _STACKEXCHANGE_KEY),
    ),
    Row(
        name="lemmy",
        title="Lemmy",
        module="shp_miner.sources.lemmy",
        forum="shp_miner.forum.serve.lemmy:LemmyApi",
        costs=Costs(3, 50, 2),
        example_site="lemmy.world",
        stored_as_written=True,
        software="lemmy",
        sites_are="instance",
    ),
    Row(
        name="discourse",
        title="Discourse",
        module="shp_miner.sources.discourse",
        forum="shp_miner.forum.serve.discourse:DiscourseApi",
        costs=Costs(1, 30, 1),
        example_site="meta.discourse.org",
        whole_site="latest",
        software="discourse",
    ),
    Row(
        name="nodebb",
        title="NodeBB",
        module="shp_miner.sources.nodebb",
        forum="shp_miner.forum.serve.nodebb:NodebbApi",
        costs=Costs(1, 20, 1),
        example_site="community.nodebb.org",
        software="nodebb",
    ),
)

#: The rows by name, in the order in which people see them.
ROWS: dict[str, Row] = {row.name: row for row in _ALL}


def source_names() -> str:
    """Return the names of all sources for a sentence: "a, b or c"."""
    *names, last = ROWS
    return f"{', '.join(names)} or {last}"
