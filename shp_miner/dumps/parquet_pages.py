"""What the headers of a column's pages say: how many of its values are in a dictionary.

Source: Apache Parquet's format (parquet.thrift, `PageHeader`).
"""

from __future__ import annotations

from typing import Any, BinaryIO

from shp_miner.dumps.parquet_footer import Chunk, Compact

#: Numbers of the fields of a header, and of those for pages of values (two versions) and of dictionaries.
_KIND, _UNPACKED, _PACKED = 1, 2, 3
_COUNT = 1
#: Kinds of pages: the field that says more, and in it that of the encoding.
_VALUES_1, _NAMES, _VALUES_2 = 0, 2, 3
_MORE = {_VALUES_1: (5, 2), _NAMES: (7, 2), _VALUES_2: (8, 4)}

#: Encodings that hold the texts themselves, each whole; and numbers in a dictionary.
_PLAIN, _NUMBERS = (0, 6), (2, 8)

#: Bytes read for a header: most are short, those with statistics longer.
_HEADERS = (512, 32 << 10)
#: Bytes of a page on average at least, for more than a few pages: a header takes more time than its page otherwise.
_PAGE, _FEW = 4096, 64


def named_values(file: BinaryIO, chunk: Chunk) -> int | None:
    """How many of the first values of a column are in a dictionary, while all the others hold their texts themselves.

    None where that is not so: all are in a dictionary, or in another encoding, or the headers are damaged, or say
    something else than the directory.
    """
    at, end, pages = chunk.begin, chunk.begin + chunk.packed, 0
    named = plain = unpacked = 0
    while at < end:
        header, size = _header(file, at)
        pages += 1
        if header is None or pages > _FEW + chunk.packed // _PAGE:
            return None
        count, encoding, is_names = header
        unpacked += size[1]
        at += size[0]
        if is_names:
            continue
        if encoding in _NUMBERS and not plain:
            named += count
        elif encoding in _PLAIN:
            plain += count
        else:
            return None
    whole = at == end and named + plain == chunk.values and unpacked <= chunk.unpacked
    return named if whole and plain else None


def _header(file: BinaryIO, at: int) -> tuple[tuple[int, int, bool] | None, tuple[int, int]]:
    """Of a page: (its values, their encoding, whether it is a dictionary), and its bytes, packed and unpacked."""
    for size in _HEADERS:
        file.seek(at)
        header = Compact(file.read(size))
        try:
            found = header.structure()
            kind, unpacked, packed = (int(found[field]) for field in (_KIND, _UNPACKED, _PACKED))
            field, encoding = _MORE[kind]
            more: dict[int, Any] = found[field]
            count = int(more[_COUNT])
            if min(count, unpacked, packed) < 0:
                raise ValueError
            return (count, int(more[encoding]), kind == _NAMES), (header.end + packed, header.end + unpacked)
        except (IndexError, KeyError, TypeError, AttributeError, ValueError):
            continue
    return None, (0, 0)
