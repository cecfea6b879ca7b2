"""The frame of every page: head, style sheet, and a content policy under which nothing is loaded and nothing runs."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files


@cache
def style_sheet() -> str:
    """Return the style sheet of all pages: light and dark, for screens of any width and for paper."""
    return files("shp_miner.pages").joinpath("style.css").read_text(encoding="utf-8")


def content_policy() -> str:
    """Return the content policy of a page that loads nothing and runs nothing; its own style sheet alone counts."""
    digest = base64.b64encode(hashlib.sha256(style_sheet().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def document(title: str, body: str, *, made_by: str) -> str:
    """Return a whole page in one file. `body` is HTML; `title` and `made_by` (the program) are plain text."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="{escape(made_by)}">
<meta http-equiv="Content-Security-Policy" content="{content_policy()}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{style_sheet()}</style>
</head>
<body>
{body}
</body>
</html>
"""
