"""The program `shp-miner`, and `python -m shp_miner` where it is not on the path."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line. Ctrl-C while it is loaded ends the process without a word: nothing has begun."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a job in the background ignores Ctrl-C
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from shp_miner.cli import main as run  # noqa: PLC0415  (what takes the time)

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
