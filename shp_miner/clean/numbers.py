"""Numbers that belong to a person: cards, IBANs, US social security numbers and telephones.

Each is decided by its own checks, and by the words before it where its digits alone say too little.

Sources: ISO/IEC 7812 (ranges of cards, Luhn's check digit), ISO 13616 (IBAN, mod 97, lengths by country), SSA "SSN
Randomization" (areas never given), NANPA's rules for area and exchange codes, ITU-T E.164 (15 digits at most).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Where an item begins and ends in a text.
Span = tuple[int, int]

#: How much of the text before a number is read for what the number is.
_LOOK_BACK = 32

_SEPARATE = r"(?<![\w.,:/=#+@$€£-])"
_ENDS = r"(?!\w|[.,:/=-]?\d|:[A-Z])"
_CARD = re.compile(
    rf"{_SEPARATE}(?:\d{{4}}(?P<a>[ -]?)\d{{4}}(?P=a)\d{{4}}(?P=a)\d{{4}}|3[47]\d\d(?P<b>[ -]?)\d{{6}}(?P=b)\d{{5}}"
    rf"|3(?:0[0-5]|[689]\d)\d(?P<c>[ -]?)\d{{6}}(?P=c)\d{{4}}){_ENDS}(?!\.[a-z])",
    re.ASCII,
)
_ISSUED = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|(?:6011|65\d\d|64[4-9]\d|62\d\d|35(?:2[89]|[3-8]\d))\d{12}"
)
#: Digits that fill up a number of a machine.
_FILLED = re.compile("0{9}")
_SSN = re.compile(
    r"(?<![\w.,:/#+@$-])(?!000|666|9)\d{3}(?:(?P<a>[ -])(?!00)\d\d(?P=a)(?!0000)\d{4}|(?!00)\d\d(?!0000)\d{4})" + _ENDS,
    re.ASCII,
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?=[ -]?[A-Z0-9]{4})")

#: ISO 13616: how many characters an IBAN of each country has.
_IBAN_LENGTHS = (
    "15:NO 16:BE 18:DK,FI,FO,GL,NL,SD 19:MK,SI 20:AT,BA,EE,KZ,LT,LU,MN,XK 21:CH,HR,LI,LV 22:BG,BH,CR,DE,GB,GE,IE,ME,RS "
    "23:AE,GI,IL,IQ,OM,SO,TL 24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG 25:LY,PT,ST 26:IS,TR 27:BI,DJ,FR,GR,IT,MC,MR,SM "
    "28:AL,AZ,BY,CY,DO,GT,HU,LB,NI,PL,SV 29:BR,EG,PS,QA,UA 30:JO,KW,MU 31:MT,SC 32:LC 33:RU"
)
_IBAN_CHARS = {
    country: int(length)
    for length, countries in (entry.split(":") for entry in _IBAN_LENGTHS.split())
    for country in countries.split(",")
}

#: Words before a number that say what it is: something else, or what is looked for.
_OTHER = re.compile(
    r"\b(?:orders?|order no|part|parts|model|case|ticket|sku|ref|reference|isbn|issn|item|serial|invoice|tracking|imei|"
    r"barcode|ean|upc|p/n|s/n|docket|grant|award|project|proposal|permit|patent|doi|arxiv|pmid|orcid|id|ids|no|nr|code|"
    r"product|catalog(?:ue)?|cas|bug|issue|build|version|key|licen[cs]e|account|batch|lot|parcel|shipment|commit|"
    r"counter|offset|seed|epoch|timestamp|range|between|from)\b[\s.:#]{0,3}(?:(?:number|no|nr|id|is|was)\b[\s.:#]{0,3}){0,2}"
    r"[\"'`(*]{0,2}$|\b[A-Z]{2}\d\d[ ](?:\d{4}[ ]){0,4}$",
    re.IGNORECASE,
)
_SOCIAL = re.compile(r"\b(?:ssn|social security|social sec|soc sec)\b[^\n]{0,20}$", re.IGNORECASE)
_CALL = re.compile(
    r"\b(?:call|calls|phone|phones|telephone|tel|text|txt|sms|whats ?app|signal|telegram|cell|cellphone|mobile|mob|fax|"
    r"ring|dial|hotline|helpline|landline|handy|telefon|t[ée]l|contact|reach|line)\b[^\n\d]{0,24}$",
    re.IGNORECASE,
)


def cards(text: str) -> Iterator[Span]:
    """Yield the numbers of payment cards: a range that is issued, and Luhn's check digit."""
    for found in _CARD.finditer(text):
        digits = found[0].replace(" ", "").replace("-", "")
        if (
            _ISSUED.fullmatch(digits)
            and not _FILLED.search(digits)
            and _luhn(digits)
            and not _is_other(text, found.start())
        ):
            yield found.span()


def ibans(text: str) -> Iterator[Span]:
    """Yield the international bank account numbers: the length of their country, and mod 97."""
    for found in _IBAN.finditer(text):
        chars = _IBAN_CHARS.get(found[0][:2])
        whole = chars and re.compile(rf"[A-Z]{{2}}\d\d(?:[ -]?[A-Z0-9]){{{chars - 4}}}(?![A-Za-z0-9])").match(
            text, found.start()
        )
        if whole and _mod_97(re.sub("[ -]", "", whole[0])):
            yield whole.span()


def social_security_numbers(text: str) -> Iterator[Span]:
    """Yield US social security numbers: with hyphens, or in any way behind words that say so."""
    for found in _SSN.finditer(text):
        said = _SOCIAL.search(_before(text, found.start()))
        is_value = text[found.start() - 1 : found.start()] == "="
        if said or (found["a"] == "-" and not is_value and not _is_other(text, found.start())):
            yield found.span()


_INTERNATIONAL = re.compile(
    r"(?<![\w.+/=-])(?:\(?\+|00(?=[1-9]))(?:\(?[1-9]\d{0,2}\)?)(?:[ ]?\(0?\d{0,5}\)|)(?:(?:[ .\-–/]|\)[ -]?)?\d){6,13}"
    + _ENDS,
    re.ASCII,
)
_AMERICAN = re.compile(
    r"(?<![\w.,:/=#+$-])(?:(?:\+?1[ .-]?)?\((?P<area>[2-9]\d\d)\)[ .-]?(?P<office>[2-9]\d\d)[ .-]?\d{4}"
    r"|(?P<one>1[ .-])?(?P<area2>[2-9]\d\d)(?P<sep>[ .-]?)(?P<office2>[2-9]\d\d)(?P=sep)\d{4})" + _ENDS,
    re.ASCII,
)
_NATIONAL = re.compile(
    r"(?<![\w.,:=#+$-])(?<!\d[ ])(?:\(0[1-9]\d{1,4}\)|0[1-9]\d{0,4})(?:[ /–-]{1,3}\d{2,8}){1,4}"
    + _ENDS
    + r"|(?<![\w.,:/=#+$-])0[1-9]\d{8,9}(?!\w|[.,:-]\d)",
    re.ASCII,
)
#: ITU-T E.164: the codes of countries, of one to three digits, at the beginning of a number.
_CODE = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-69]|3[578]|42|5[09]|6[7-9]|8[0578]|9[679])\d"
)
_MOST_DIGITS = 15


def telephones(text: str) -> Iterator[Span]:
    """Yield telephone numbers: international, North American, and those that begin with 0 as elsewhere."""
    ends = 0
    found = [(match.span(), match) for pattern in _BY_KIND for match in pattern.finditer(text)]
    for (start, end), match in sorted(found, key=lambda each: each[0]):
        if start >= ends and _BY_KIND[match.re](match, _before(text, start)):
            ends = end
            yield start + (match[0].startswith("(") and ")" not in match[0]), end


def _is_international(match: re.Match[str], before: str) -> bool:
    digits = re.sub(r"\D", "", match[0].replace("(0)", "")).removeprefix("00" if match[0][0] == "0" else "")
    code = _CODE.match(digits)
    if code is None or (code[0] == "1" and not (len(digits) == 11 and _is_american(digits[1:4], digits[4:7]))):
        return False
    grouped = len(re.findall(r"\d+", match[0])) > 1
    has_plus = "+" in match[0]
    least = 9 if has_plus else 11
    plain = grouped or has_plus or bool(_CALL.search(before))
    return least <= len(digits) <= _MOST_DIGITS and plain and not _OTHER.search(before)


def _is_north_american(match: re.Match[str], before: str) -> bool:
    area, office = match["area"] or match["area2"], match["office"] or match["office2"]
    if not _is_american(area, office) or _OTHER.search(before):
        return False
    clear = match["area"] or match["sep"] in ("-", ".") or (match["one"] and match["sep"])
    return bool(clear) or bool(_CALL.search(before))


def _is_national(match: re.Match[str], before: str) -> bool:
    digits = re.sub(r"\D", "", match[0])
    if not 9 <= len(digits) <= 12 or _OTHER.search(before):
        return False
    return bool(_CALL.search(before)) or bool(_WRITTEN.fullmatch(match[0]))


#: Forms that are telephone numbers without a word before them: French pairs, an area in brackets, British and German
#: mobiles, and an area code with a block of six to eight digits or two of three or four.
_WRITTEN = re.compile(
    r"0[1-7](?:[ ]\d\d){4}|\(0\d{2,4}\)[ ]?[\d ]{5,9}|07\d{3}[ ]\d{3}[ ]?\d{3}|01[5-7]\d[ /-]{1,3}\d{7,8}"
    r"|0\d{2,4}[ ]?/[ ]?\d{6,8}|0[1-9]\d{1,2}[ ]\d{3,4}[ ]\d{4}|04\d\d[ ]\d{3}[ ]\d{3}",
    re.ASCII,
)
_BY_KIND = {_INTERNATIONAL: _is_international, _AMERICAN: _is_north_american, _NATIONAL: _is_national}


def _is_american(area: str, office: str) -> bool:
    """Whether area and exchange can be given out: neither begins with 0 or 1, and N11 are services."""
    return area[0] > "1" and office[0] > "1" and area[1:] != "11" and office[1:] != "11"


def _before(text: str, start: int) -> str:
    return text[max(0, start - _LOOK_BACK) : start]


def _is_other(text: str, start: int) -> bool:
    return bool(_OTHER.search(_before(text, start)))


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _mod_97(iban: str) -> bool:
    return int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 == 1
