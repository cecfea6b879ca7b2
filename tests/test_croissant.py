"""A card and its manifest are enough for Croissant, the description of data sets that the Hub makes of a card.

Needs `mlcroissant`, which brings rdflib and more and is not in a group: see the message of the skipped test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from shp_miner import FORMATS, export_dataset

from .test_card import store_of

pytestmark = pytest.mark.slow

_KINDS = {"string": "sc:Text", "int8": "sc:Integer", "int64": "sc:Integer", "double": "sc:Float", "bool": "sc:Boolean"}
_NAMESPACES = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "dct": "http://purl.org/dc/terms/",
    "cr": "http://mlcommons.org/croissant/", "citeAs": "cr:citeAs", "column": "cr:column", "extract": "cr:extract",
    "conformsTo": "dct:conformsTo", "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "field": "cr:field",
    "fileObject": "cr:fileObject", "recordSet": "cr:recordSet", "source": "cr:source",
}  # fmt: skip


def described(out: Path) -> dict[str, Any]:
    """The Croissant of an export of one format: its files, and the columns of its first one."""
    manifest = json.loads((out / "manifest.json").read_text())
    front = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    files = [
        {
            "@type": "cr:FileObject",
            "@id": file["path"],
            "name": file["path"],
            "contentUrl": file["path"],
            "contentSize": f"{file['bytes']} B",
            "encodingFormat": "application/x-parquet",
            "sha256": file["sha256"],
        }
        for file in manifest["files"]
    ]
    first = manifest["files"][0]["path"]
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"rows/{column.name}",
            "name": column.name,
            "dataType": "sc:DateTime" if pa.types.is_timestamp(column.type) else _KINDS[str(column.type)],
            "source": {"fileObject": {"@id": first}, "extract": {"column": column.name}},
        }
        for column in FORMATS[manifest["format"]].schema
        if not pa.types.is_nested(column.type)
    ]
    return {
        "@context": _NAMESPACES,
        "@type": "sc:Dataset",
        "name": front["pretty_name"],
        "description": f"Preferences in the format {manifest['format']}",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": front.get("license_link", front["license"]),
        "url": "https://forum.example",
        "datePublished": max(site["last_answer"] for site in manifest["facts"]["sites"].values()),
        "version": "1.0.0",
        "citeAs": "none",
        "creator": {"@type": "sc:Organization", "name": next(iter(manifest["facts"]["sites"]))},
        "distribution": files,
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}],
    }


@pytest.mark.parametrize("form", ["pairs", "shp", "trl-text", "kto", "bandit"])
@pytest.mark.filterwarnings("ignore")  # of rdflib
def test_an_export_has_all_that_croissant_asks_for(form: str, tmp_path: Path) -> None:
    croissant = pytest.importorskip("mlcroissant", reason="pip install mlcroissant, to read an export as Croissant")
    out = tmp_path / "out"
    export_dataset(store_of(tmp_path), out, format=form, validation=0, test=0)
    (out / "croissant.json").write_text(json.dumps(described(out)))
    dataset = croissant.Dataset(jsonld=out / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert (sorted(issues.errors), sorted(issues.warnings)) == ([], [])
    rows = list(dataset.records("rows"))  # hashes are compared while files are read
    assert len(rows) == sum(json.loads((out / "manifest.json").read_text())["rows"].values())
