"""`shp-miner forum`: serve the simulated forum on loopback ports until Ctrl-C."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING

import click

from shp_miner.cli.names import Commas, flat
from shp_miner.cli.options import Duration, Whole, example, printing
from shp_miner.cli.output import show_result
from shp_miner.cli.saying import say
from shp_miner.cli.stopping import until_stopped
from shp_miner.errors import UsageError
from shp_miner.sources.table import ROWS, source_names

if TYPE_CHECKING:
    from shp_miner.forum.live import Community

_DAY_S = 86_400.0

#: How often the forum's clock is moved on.
_TICK_S = 0.2

_HELP = f"""Serve a simulated forum on this machine, to test crawling. Stop it with Ctrl-C.

PLATFORM is {source_names()}. Each platform serves the same community
through its own API, on its own port. The forum's clock starts one month ago and runs at the chosen speed until it
reaches the present; meanwhile people post, answer and vote.
"""


@click.command(
    "forum",
    help=_HELP,
    epilog=example("shp-miner forum --serve lemmy discourse --threads 100 --day-length 60s"),
)
@click.option("--serve", is_flag=True, help="Serve the named platforms (default: all).")
@click.argument("platforms", nargs=-1, type=Commas(), callback=flat, metavar="[PLATFORM]...")
@click.option("--threads", type=Whole(min=1), default=400, show_default=True, help="Number of threads.")
@click.option(
    "--seed",
    type=Whole(min=0),
    default=0,
    show_default=True,
    help="Seed of the simulated forum; another number makes another forum.",
)
@click.option(
    "--day-length",
    "day_length_s",
    type=Duration(),
    default="60s",
    show_default=True,
    help="Real time per day of the forum; 1d is real speed.",
)
@click.option(
    "--port",
    type=Whole(0, 65_000),
    default=0,
    show_default=True,
    help="Port of the first platform; the others get the next ports. 0 takes free ports.",
)
@printing
def command(
    serve: bool,
    platforms: tuple[str, ...],
    threads: int,
    seed: int,
    day_length_s: float,
    port: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Serve the forum until it is stopped."""
    if not serve:
        raise UsageError("--serve is missing.", "Run: shp-miner forum --serve")
    if day_length_s <= 0:
        raise UsageError("--day-length must be longer than 0.", "Give --day-length 60s, or 1d for real speed.")
    from datetime import UTC, datetime, timedelta

    from shp_miner.forum.live import Community
    from shp_miner.forum.serve.server import Forum
    from shp_miner.forum.world import World

    # Of the world's span the first half is over and the second ends today; nothing is ever posted in the future.
    world = World(threads=threads, starts_at=datetime.now(UTC) - timedelta(days=World.span_days))
    community = Community(world=world, seed=seed)
    served = list(dict.fromkeys(platforms or ROWS))
    with Forum(community, served, port=port) as forum, until_stopped() as stopped:
        urls = {platform: forum.url(platform) for platform in served}

        def people() -> None:
            say(f"Serving {threads} simulated threads of the community {community.name!r}. Stop with Ctrl-C.")
            for platform, url in urls.items():
                say("", f"{platform}: {url}", f"  {first_command(platform, url, community.name)}")

        show_result({"community": community.name, "urls": urls}, people, as_json=as_json, quiet=quiet)
        _live(community, _DAY_S / day_length_s, stopped)


def first_command(platform: str, url: str, name: str) -> str:
    """Return the command to try first with a platform at a URL that serves the community of that name."""
    from shp_miner.forum.serve.server import view_of

    usual = f"shp-miner crawl {platform} {{name}}" + (" --site forum.example" if ROWS[platform].runs_on_many else "")
    crawl: str = getattr(view_of(platform), "first_crawl", usual)
    return f"{crawl.format(name=name)} --url {url} --allow-private --limit 5 --store data/forum"


def _live(community: Community, speed: float, stopped: Event) -> None:
    """Let the forum's time pass `speed` times as fast as real time, but not beyond the present."""
    before = time.monotonic()
    while not stopped.wait(_TICK_S):
        now = time.monotonic()
        behind_s = time.time() - community.now_s
        community.advance(max(0.0, min((now - before) * speed, behind_s)))
        before = now
