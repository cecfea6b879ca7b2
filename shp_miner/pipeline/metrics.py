"""A run's counts as a Prometheus text file, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shp_miner.errors import BadInput, from_os_error
from shp_miner.store.replacing import replace_file

#: Name, help and the count of each metric. All are of the last run; Prometheus adds them up.
_METRICS = (
    ("threads_new", "Threads read for the first time by the last run.", "new"),
    ("threads_changed", "Threads read again by the last run.", "changed"),
    ("items_deleted", "Posts and answers that the last run found deleted.", "deleted"),
    ("threads_given_up", "Threads that could not be read and are no longer tried.", "given_up"),
    ("pairs", "Pairs that the last run exported.", "pairs"),
    ("requests", "Requests that the last run sent.", "requests"),
    ("wait_seconds", "Seconds that the last run waited for sites.", "waited_s"),
    ("run_seconds", "Seconds that the last run took.", "seconds"),
    (
        "exit_code",
        "Exit code of the last run: 0 done, 3 done in part, 75 try later, others need a person.",
        "exit_code",
    ),
)


def write(path: Path, pipeline: str, counts: Mapping[str, float], now_s: float) -> None:
    """Write the counts of a pipeline's last run, which ended at `now_s`, atomically.

    Raises BadInput if the file cannot be written, TryLater if the disk is full.
    """
    label = pipeline.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = []
    for name, text, key in _METRICS:
        lines += _metric(name, text, label, counts[key])
    lines += _metric(
        "last_run_timestamp_seconds", "When the last run ended, in seconds since 1970.", label, round(now_s)
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, ("\n".join(lines) + "\n").encode(), durable=False)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") or BadInput(
            f"The metrics file {path} cannot be written: {error.strerror}.", "Correct `log.metrics` in the pipeline."
        ) from error


def _metric(name: str, text: str, label: str, value: float) -> list[str]:
    full = f"shp_miner_{name}"
    return [f"# HELP {full} {text}", f"# TYPE {full} gauge", f'{full}{{pipeline="{label}"}} {value}']
