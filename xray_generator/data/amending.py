"""Prompts changed a little and compared, each judged by what is read from it, see `data.prompts`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from xray_generator.data.prompts import AGE, AP, FEMALE, MALE, PA, SUPINE, YOUNG, row_of_prompt, unread_text
from xray_generator.data.report import ANY, CLEAR_LUNGS, PATTERNS
from xray_generator.data.rows import AGE_GROUPS, FINDINGS, SEX_NAMES, SUBTYPES, Row, finding_name
from xray_generator.data.vocabulary import FUNCTION_WORDS, WORD, FindingPhrase, Vocabulary, compose_prompt

VIEW = rf"(?:(?:{SUPINE}) )?(?:{PA}|{AP})(?: (?:{SUPINE}))?"
PERSON = rf"(?:{MALE}|{FEMALE}|\bpatient\b)"
OTHER_SEX = {"man": "woman", "boy": "girl", "male": "female", "gentleman": "lady"}
OTHER_SEX |= {other: word for word, other in OTHER_SEX.items()}
GROWN = {"boy": "man", "girl": "woman"}
YOUNGER = {grown: word for word, grown in GROWN.items()}
NORMAL = (
    rf"{CLEAR_LUNGS}|(?:no|without) (?:\w+ ){{0,3}}(?:abnormalit(?:y|ies)|disease|process|findings?)(?: reported)?"
    r"|\b(?:normal|unremarkable)\b"
)
FILM = frozenset({"chest", "x-ray", "xray", "x-rays", "radiograph", "film", "image", "frontal", "view", "projection"})
FAULTS = (  # what a removed word leaves behind, and how it is mended
    (r"\s+", " "),
    (r"\s+(?=[,.;:])", ""),
    (r"\b(?:with|and|of|showing)(?: an?| the)?(?=[,.;:]|$)", ""),
    (r"[,:;]+(?=[,.;:]| ?$)", ""),
    (r"^(?:with|and|on|in|of|showing)\b", ""),
    (r"\b(?:with|of) and\b", "with"),
    (r"\b([Aa])(?= (?:8\d?|11|18)-year)", r"\1n"),
    (r"\b([Aa])n(?= (?:(?!8\d?-|11-|18-)\d+-|man\b|woman\b|boy\b|girl\b|patient\b))", r"\1"),
    (r"^[ ,.;:]+|[ ,;:]+$", ""),
)


def amend_prompt(prompt: str, wanted: Row, vocabulary: Vocabulary) -> str:
    """Change as few words of a prompt as make it read as `wanted`: a row that was read from it, with other facts.

    Where no small change does, the prompt is composed anew from the facts, in the words of the training captions.
    """
    facts = _facts(wanted)
    if facts == _facts(row_of_prompt(prompt)):
        return prompt
    for changed in _changes(prompt, row_of_prompt(prompt), wanted, vocabulary):
        text = _mend(changed)
        if _facts(row_of_prompt(text)) == facts:
            return text
    return _compose(wanted, vocabulary)


def differing_words(first: str, second: str) -> tuple[str, ...] | None:
    """The words of one of two prompts alone, beyond synonyms, where both are read alike; None where they are not.

    Empty: both prompts mean the same.
    """
    if _facts(row_of_prompt(first)) != _facts(row_of_prompt(second)):
        return None
    one, other = _other_words(first), _other_words(second)
    return tuple(word for word in dict.fromkeys((*one, *other)) if (word in one) != (word in other))


def _facts(row: Row) -> tuple[object, ...]:
    """What decides whether two rows say the same: a normal image lacks all findings, a kind of pneumonia is one."""
    findings = {*row.findings, *(["pneumonia"] if any(name in SUBTYPES for name in row.findings) else [])}
    absent = set() if row.findings == ("no_finding",) else set(row.absent) - findings
    group = row.age_group if row.age is None else ""
    return row.view, row.age, row.sex, group, frozenset(findings), frozenset(absent)


def _other_words(prompt: str) -> list[str]:
    text = re.sub(NORMAL, " ", unread_text(prompt, FINDINGS), flags=re.IGNORECASE)
    return [word for word in WORD.findall(text.lower()) if word not in FUNCTION_WORDS | FILM]


def _changes(prompt: str, now: Row, wanted: Row, vocabulary: Vocabulary) -> Iterator[str]:
    """Ways to word the fact in which `wanted` differs, the smallest change first; not each of them does it."""
    text = prompt.strip().rstrip(".")
    if not text:
        return
    if wanted.view != now.view:
        yield _replace(VIEW if wanted.view else rf"(?:{VIEW})(?: (?:view|projection))?", wanted.view, text)
        yield f"{wanted.view} {_lower_first(text)}"
    if wanted.age != now.age:
        yield from _change_age(text, wanted.age, YOUNG.get(now.age_group, PERSON))
    if wanted.sex != now.sex:
        name = SEX_NAMES.get(wanted.sex, "")
        yield re.sub(rf"{MALE}|{FEMALE}", lambda word: _change_sex(word[0], wanted.sex), text, flags=re.IGNORECASE)
        yield _replace(r"\bpatient\b", f"{name} patient", text)
        yield f"{text}, {name} patient"
    if set(wanted.findings) != set(now.findings):
        yield from _change_findings(text, now, wanted, vocabulary)


def _replace(pattern: str, by: str, text: str) -> str:
    return re.sub(pattern, by, text, count=1, flags=re.IGNORECASE)


def _change_age(text: str, age: int | None, person: str) -> Iterator[str]:
    """`person`: the words before which an age can stand, or for which it stands if they name an age group."""
    years = "" if age is None else f"{age}-year-old"
    if age is not None:
        nouns = GROWN if age > AGE_GROUPS["adolescent"][1] else YOUNGER
        text = re.sub(rf"\b(?:{'|'.join(nouns)})\b", lambda word: nouns[word[0]], text)
    yield AGE.sub(lambda stated: str(age) if stated["initial"] else years, text, count=1)
    yield _replace(person, f"{years} patient" if person != PERSON else rf"{years} \g<0>", text)
    yield f"{text}, {years} patient"


def _change_sex(word: str, sex: str) -> str:
    if word[0].isdigit():  # "60F"
        return word[:-1] + sex
    if not sex:
        return "" if word.lower() in SEX_NAMES.values() else "patient"
    return OTHER_SEX[word.lower()]


def _change_findings(text: str, now: Row, wanted: Row, vocabulary: Vocabulary) -> Iterator[str]:
    new = [name for name in wanted.findings if name not in now.findings]
    old = [name for name in now.findings if name not in wanted.findings]
    for name in (name for name in (*reversed(old), *new) if name in PATTERNS):
        text = _without(text, name)
    if "no_finding" in old:
        text = _mend(re.sub(rf"(?:\b(?:with|and) )?(?:{NORMAL})", "", text, flags=re.IGNORECASE))
    phrases = " and ".join(_phrase(name, vocabulary) for name in new if name != "no_finding")
    if "no_finding" in new:
        yield f"Normal {_lower_first(text)}"
    elif phrases:
        joint = " and" if re.search(rf"(?:{ANY})$", text, re.IGNORECASE) else "," if "," in text else " with"
        yield from (f"{text}{joint} {phrases}", f"{text}, {phrases}", f"{text}. {phrases.capitalize()}")
    else:
        yield text


def _without(text: str, finding: str) -> str:
    """A text without the words of a finding, be it stated or denied."""
    denial = r"(?:(?:no|without)(?: (?:evidence|sign)s? of)? )?"
    words = rf"{denial}(?:an? )?(?:(?:lung|pulmonary|pleural) )?\b(?:{PATTERNS[finding]})\b"
    for pattern in (rf"{words} and ", rf"(?:,| and) {words}", rf"(?: with|,|:) {words}", words):
        found = re.search(pattern, text, re.IGNORECASE)
        if found:
            return _mend(text[: found.start()] + text[found.end() :])
    return text


def _mend(text: str) -> str:
    for _ in range(2):  # what mends one fault may leave another
        for fault, mended in FAULTS:
            text = re.sub(fault, mended, text)
    return text[:1].upper() + text[1:]


def _lower_first(text: str) -> str:
    """A text as it stands inside a sentence; a first word in capitals keeps them."""
    return text if re.match(r"\w*[A-Z]{2}|X-", text) else text[:1].lower() + text[1:]


def _phrase(finding: str, vocabulary: Vocabulary) -> str:
    return next((known.phrase for known in vocabulary.findings if known.finding == finding), finding_name(finding))


def _compose(wanted: Row, vocabulary: Vocabulary) -> str:
    findings = [name for name in wanted.findings if name != "no_finding"]
    phrases = tuple(FindingPhrase(name, _phrase(name, vocabulary), 0) for name in findings)
    words = replace(vocabulary, findings=phrases)
    return compose_prompt(wanted.view[:2], wanted.age, wanted.sex, findings, words, wanted.age_group)
