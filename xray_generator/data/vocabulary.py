"""The vocabulary of training captions: words, ages, views, findings and how the captions phrase them.

It is stored with a checkpoint as JSON, to compose prompts in the captions' words and to name words the model never saw.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xray_generator.data.prompts import AGE, row_of_prompt, unread_text
from xray_generator.data.report import read_findings
from xray_generator.data.rewording import describe_subject, reword, view_word
from xray_generator.data.rows import FINDINGS, SUBTYPES, Row, finding_name
from xray_generator.types import StudioError

FUNCTION_WORDS = frozenset(
    {"a", "an", "the", "of", "and", "with", "in", "on", "to", "for", "or", "at", "by", "from", "as"}
)
NUM_EXAMPLES = 12
MAX_PHRASE_WORDS = 4
PHRASE_COVERAGE = 0.8  # a phrase occurs in at least this share of the captions of its finding
MIN_CAPTIONS = 5
PHRASE_LEAKAGE = 0.05  # and at most in this share of the others
WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class FindingPhrase:
    """The captions' phrase for a finding, and the number of captions that state it."""

    finding: str
    phrase: str
    count: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words and facts of a set of captions; ages in years, None if no caption gives one."""

    num_captions: int
    views: tuple[str, ...]
    sexes: tuple[str, ...]
    age_groups: tuple[str, ...]
    min_age: int | None
    max_age: int | None
    findings: tuple[FindingPhrase, ...]  # in the order of FINDINGS, without no_finding
    example_prompts: tuple[str, ...]  # real captions
    words: dict[str, int] = field(default_factory=dict)  # lower case -> count; without ages such as "58-year-old"

    def phrase(self, finding: str) -> str:
        """The captions' phrase for a finding; StudioError if no caption states it."""
        for known in self.findings:
            if known.finding == finding:
                return known.phrase
        names = ", ".join(known.finding for known in self.findings)
        raise StudioError(f"The model was not trained on {finding!r}. It knows: {names}.")


NO_VOCABULARY = Vocabulary(0, (), (), (), None, None, (), ())  # of a model whose captions nobody here knows


def build_vocabulary(rows: Sequence[Row], variants: int = 1) -> Vocabulary:
    """Collect the vocabulary of the training rows; its words are those of `variants` wordings of each caption.

    Raises:
        StudioError: no row has a prompt.
    """
    rows = [row for row in rows if row.prompt.strip()]
    if not rows:
        raise StudioError("No row has a prompt, so there is no vocabulary.")
    ages = [age for row in rows if (age := row_of_prompt(row.prompt).age) is not None]
    stated = Counter(finding for row in rows for finding in row.findings)
    wordings = (wording for row in rows for wording in reword(row, variants))
    return Vocabulary(
        num_captions=len(rows),
        words=dict(Counter(word for text in wordings for word in _words(AGE.sub(" ", text))).most_common()),
        views=tuple(sorted({row.view for row in rows if row.view})),
        sexes=tuple(sorted({row.sex for row in rows if row.sex})),
        age_groups=tuple(sorted({row.age_group for row in rows if row.age_group})),
        min_age=min(ages, default=None),
        max_age=max(ages, default=None),
        findings=tuple(
            FindingPhrase(finding, _derive_phrase(finding, rows), stated[finding])
            for finding in FINDINGS
            if stated[finding] and finding != "no_finding"
        ),
        example_prompts=_examples(rows),
    )


def unseen_words(vocabulary: Vocabulary, prompt: str, *, reads_facts: bool = True) -> tuple[str, ...]:
    """The words of `prompt` that no wording in training had and that are not read otherwise, lower case, once each.

    Ages within the age range are read, and with `reads_facts` all that `data.prompts` understands, if the finding is a
    known one. Plurals, hyphens, punctuation and function words (a, of, with) do not count. Where the captions are not
    known, no word is unseen.
    """
    if not vocabulary.words:
        return ()
    joined = {word.replace("-", "") for word in vocabulary.words}
    age, low, high = row_of_prompt(prompt).age, vocabulary.min_age, vocabulary.max_age
    is_covered = age is None or (low is not None and high is not None and low <= age <= high)

    def is_known(word: str) -> bool:
        flat = word.replace("-", "")
        forms = {flat, f"{flat}s", flat.removesuffix("s"), flat.removesuffix("es"), flat.removesuffix("'s")}
        return word in FUNCTION_WORDS or not forms.isdisjoint(joined)

    findings = [known.finding for known in vocabulary.findings]
    words = dict.fromkeys(_words(unread_text(prompt, findings) if reads_facts else AGE.sub(" ", prompt)))
    unknown = (word for word in words if not (is_known(word) or all(map(is_known, word.split("-")))))
    return (*((f"{age}-year-old",) if not is_covered else ()), *unknown)


def compose_prompt(
    view: str, age: int | None, sex: str, findings: Sequence[str], vocabulary: Vocabulary, age_group: str = ""
) -> str:
    """Compose a prompt in the captions' template: "PA chest X-ray of a 58-year-old woman with cardiomegaly".

    Everything may be unknown ("" or None); no findings, or `no_finding` alone, means a normal image. Without an age,
    `age_group` is used; the captions have words for child and adolescent only.

    Raises:
        StudioError: `no_finding` together with a disease, or a finding that the captions never state.
    """
    names = [name for name in FINDINGS if name in findings and name != "no_finding"]
    unknown = [name for name in findings if name not in FINDINGS]
    if unknown or (names and "no_finding" in findings):
        raise StudioError(
            f"Unknown finding {unknown[0]!r}." if unknown else "no_finding cannot be combined with a disease."
        )
    if any(name in SUBTYPES for name in names):
        names = [name for name in names if name != "pneumonia"]
    subject = describe_subject(age, sex, age_group)
    young = "adolescent" if not subject and age_group == "adolescent" else ""
    words = (view_word(view), young) if names else ("normal", young, view_word(view))
    text = " ".join(word for word in (*words, "chest", "X-ray" if names or subject else "radiograph") if word)
    if subject:
        text += f" of {subject}"
    if names:
        text += (" with " if subject else ", ") + _join([vocabulary.phrase(name) for name in names])
    return text[0].upper() + text[1:]


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower().replace("\u2019", "'").replace("\u2011", "-"))


def _join(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _phrases(prompt: str) -> set[str]:
    words = WORD.findall(prompt)
    return {" ".join(words[i : i + n]) for n in range(1, MAX_PHRASE_WORDS + 1) for i in range(len(words) - n + 1)}


def _derive_phrase(finding: str, rows: Sequence[Row]) -> str:
    """The longest phrase that occurs in most captions with this finding alone and in few captions without it.

    With fewer than MIN_CAPTIONS such captions, the finding's own name.
    """
    group = {finding, "pneumonia"} if finding in SUBTYPES else {finding}
    alone = [row for row in rows if set(row.findings) == group]
    inside = Counter(phrase for row in alone for phrase in _phrases(row.prompt))
    common = (phrase for phrase, count in inside.items() if count >= max(PHRASE_COVERAGE * len(alone), MIN_CAPTIONS))
    others = [f" {' '.join(WORD.findall(row.prompt))} " for row in rows if finding not in row.findings]
    for phrase in sorted(common, key=lambda p: (-len(p.split()), -inside[p], p)):
        leaks = sum(f" {phrase} " in other for other in others)
        if leaks <= PHRASE_LEAKAGE * len(others) and set(read_findings(phrase).present) == group:
            return phrase
    return finding_name(finding)


def _examples(rows: Iterable[Row]) -> tuple[str, ...]:
    """Real captions, taken in turn from the most frequent combinations of findings."""
    groups: dict[tuple[str, ...], set[str]] = {}
    counts: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        counts[row.findings] += 1
        groups.setdefault(row.findings, set()).add(row.prompt)
    queues = [sorted(groups[key], key=_hash) for key, _ in counts.most_common(NUM_EXAMPLES)]
    chosen = [queue[turn] for turn in range(NUM_EXAMPLES) for queue in queues if turn < len(queue)]
    return tuple(chosen[:NUM_EXAMPLES])


def _hash(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
