"""`shp-miner recheck`: see crawl.py, with which it shares all but its name."""

from shp_miner.cli.crawl import recheck_command as command

__all__ = ["command"]
