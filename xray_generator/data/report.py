"""Extract findings from a report text, with negation and uncertainty.

The method follows NegEx (Chapman, Bridewell, Hanbury, Cooper, Buchanan: A simple algorithm for identifying negated
findings and diseases in discharge summaries, J Biomed Inform 34:301-310, 2001): trigger phrases before or after a
finding decide its status, and pseudo-triggers ("no change in", "not yet resolved") decide nothing. As in ConText
(Harkema, Dowling, Thornblade, Chapman, J Biomed Inform 42:839-851, 2009) their scope is not a window of five words: it
ends with the sentence, at a conjunction such as "but" or where a new statement begins; of several triggers before a
finding the nearest decides. Lists ("Effusion: none") are first put into sentences: see NORMAL_FORM.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from xray_generator.data.rows import FINDINGS

MAX_REPORT_CHARACTERS = 10_000
ABBREVIATIONS = {
    "cxr": "chest x-ray",
    "ptx": "pneumothorax",
    "pna": "pneumonia",
    "ggo": "ground-glass opacity",
    "ett": "endotracheal tube",
    "ngt": "nasogastric tube",
    "cvc": "central venous catheter",
    "rul": "right upper lobe",
    "rml": "right middle lobe",
    "rll": "right lower lobe",
    "lul": "left upper lobe",
    "lll": "left lower lobe",
    "chf": "congestive heart failure",
    "copd": "chronic obstructive pulmonary disease",
    "tb": "tuberculosis",
    "svc": "superior vena cava",
    "hx": "history",
    "ddx": "differential diagnosis",
    "vs.": "versus",
    "s/p": "status post",
    "r/o": "rule out",
    "w/o": "without",
    "w/": "with",
    "c/w": "consistent with",
    "c/f": "concerning for",
    "b/l": "bilateral",
}

PATTERNS = {
    "atelectasis": r"atelecta\w+|(?:lung|lobe|lobar) collapse",
    "cardiomegaly": r"cardiomegaly|cardiac enlargement|enlarge(?:d|ment of the) (?:heart|cardiac|cardiomediastinal)"
    r"|(?:heart|cardiac|cardiomediastinal)(?: size| silhouette)*(?: (?:is|are|appears|remains))?(?: \w+ly)? enlarged",
    "consolidation": r"consolidat\w+",
    "edema": r"o?edema\w*",
    "pleural_effusion": r"(?<!pericardial )(?<!joint )effusions?",
    "emphysema": r"(?<!subcutaneous )emphysem\w+",
    "fibrosis": r"fibro(?:sis|tic)",
    "hernia": r"hernias?",
    "infiltration": r"infiltrat\w+",
    "mass": r"mass(?:es)?(?! effect)",
    "nodule": r"nodules?|nodular (?:opacit|densit)\w+",
    "pleural_thickening": r"pleural thickening|thickened pleura",
    "pneumonia": r"(?:broncho)?pneumonias?",
    "pneumothorax": r"(?:hydro)?pneumothora\w+",
    "bacterial_pneumonia": r"bacterial pneumonias?",
    "viral_pneumonia": r"viral pneumonias?",
    "fungal_pneumonia": r"fungal pneumonias?",
    "covid19": r"covid(?:[- ]?19)?|sars-cov-2|coronavirus",
    "ards": r"ards|acute respiratory distress syndrome",
    "airspace_opacity": r"(?<!nodular )opaci(?:ty|ties|fications?)|air ?space disease",
    "support_devices": r"(?:endotracheal|nasogastric|feeding|chest|tracheostomy) tubes?|tracheostomy|pacemaker|picc"
    r"|defibrillator|central (?:venous )?(?:line|catheter)s?|port-a-cath",
}
NORMAL = (
    r"(?:no|without) (?:\w+ ){0,3}(?:abnormalit(?:y|ies)|disease|process|findings?)"
    r"|(?<!not )(?<!not an )(?<!not a )(?:normal|unremarkable)\b.*chest"
    r"|(?<=[,:;.] |\n\n)(?:normal|unremarkable)(?: (?:study|film|exam(?:ination)?))?(?=\s*(?:[,:;.]|$))"
)
NORMAL_HEART = (
    r"(?:heart|cardi\w+)(?: \w+){0,4} (?:is|are|appears?|within|remains?)(?: within)? normal|normal (?:heart|cardi\w+)"
    r"|(?:heart|cardi\w+)(?: \w+){0,3} not (?:\w+ )?enlarged|(?:heart|cardi\w+)(?: (?:size|silhouette))? normal"
)
CLEAR_LUNGS = (  # both of them, and wholly
    r"(?<!left )(?<!right )(?<!upper )(?<!lower )(?<!remaining )"
    r"lungs? (?:(?!bases?|not|never)\w+ )?(?:(?:is|are|remain|appear) )?(?:(?!not|never|otherwise|elsewhere)\w+ )?clear"
    r"|(?<!not )clear lungs"
)

ANY = "|".join(PATTERNS.values())
LIST = rf"\b(?:{ANY})\b(?:(?:,? (?:and|or|nor) |, ?| ?/ ?)(?:(?:pleural|pulmonary|lung|focal) )?(?:{ANY})\b)*"
LIST_REST = rf"(?:, (?:\w+ )?(?:{ANY})\b)*,? (?:and|or|nor) (?:\w+ ){{0,2}}?(?:{ANY})\b"  # ", edema and overt effusion"
FOUND = "seen|identified|present|visible|evident|visuali[sz]ed|detected|appreciated|demonstrated|noted|apparent|found"
PRIOR = r"previously|before|(?:on|in) (?:\w+ )?(?:prior|previous|earlier|comparison)"
NOT_FOUND = rf"(?:not|no longer) (?:(?!previously|well|fully)\w+ )?(?:{FOUND})\b(?! (?:{PRIOR}|to)\b)"
ADVERB = r"(?:now|since|both|all|been|yet|interval|complete|(?!cardio|likely|probab|possib|presum)\w+ly)"
GONE, EXCLUDED = "resolved|cleared|disappeared|removed|gone", "ruled out|excluded"
LOSS = "resolution|clearance|disappearance|removal|resection|excision"

PARTLY = (
    "not|never|partial|partially|partly|incomplete|incompletely|near|nearly|almost|largely|mostly|some|mild|slight"
    "|further|continued|ongoing|progressive|gradual"
)
NO_NEGATION = (  # triggers inside them do not count
    rf"(?:no|without) (?:(?!(?:and|or|nor|with|{ANY})\b)[\w-]+ ){{0,3}}"
    r"(?:change|increase|decrease|reduction|improvement|resolution|clearing|progression of|worsening of|absence|lack)"
    r"(?: (?:in|of))?"
    rf"|not (?:{ADVERB} )*(?:chang|increas|decreas|improv|worsen|progress)(?:ed|ing)|not only|not seen to|no \w+ than"
    rf"|(?:not|no longer) (?:{ADVERB} )?(?:absent|without|free of|clear of|negative for)"
    rf"|(?:{PARTLY})[ -](?:{ADVERB} ){{0,2}}(?:{GONE}|(?:clearing|{LOSS})(?: of)?)"
)
NOT_EXCLUDED = r"(?:can ?not|can't|not|difficult to|unable to)(?: \w+){0,2}? (?:exclud\w+|rul\w+ out)"
LOOKED_FOR = (  # "evaluate for", "concerning for", "status post lobectomy for", "prior film with"
    r"(?:assess|correlat|evaluat|look|check|screen|treat|concern|worr|suspici|status post)\w*(?: \w+){0,3} for"
    r"|(?:history|follow[- ]?up|suspicion|evaluation|assessment) of"
    r"|(?:prior|previous|earlier) (?:film|study|exam\w*|radiograph|x-ray|image|ct|scan)"
    r" (?:show\w+|demonstrat\w+|with|had)"
)
DOUBT_BEFORE = (
    r"possib\w+|probab\w+|(?:un)?likely|may|might|could|suspect\w*|question\w*|query|equivocal|presum\w+|doubt\w*"
    r"|suggest\w*|favou?r\w*|consider(?:ed|ing|ation)?|exclude|if any|(?:little|minimal|trace) or no"
    r"|(?:no|without) \w+ that|differential(?: diagnos[ei]s)?|versus|vs|rule out"
    rf"|{LOOKED_FOR}|{NOT_EXCLUDED}"
)
DOUBT_AFTER = (
    rf"(?:is|are) (?:possible|probable|likely|suspected|question\w+)|(?:un|less |more )likely|versus|vs|{NOT_EXCLUDED}"
    rf"|(?:may|might|could|likely|probably)(?: (?:be|has|have|been))* (?:{GONE})|not (?:well|fully) (?:{FOUND})"
    rf"|can ?not be (?:\w+ly )?(?:{FOUND})|(?:difficult to|can ?not be|not)(?: \w+ly)? (?:assess|evaluat)\w*"
    r"|(?:is|are|be) (?:a )?(?:consider\w+|possibility|in the differential)|not favou?red|if any|until"
    r"|re-?expanded|withdrawn"
)
DENIED_DOUBT = (  # "no sign suggesting"
    r"\b(no|without|nothing)((?: \w+){0,4}) (?:suggest\w*|suspicious for|suspicion (?:for|of)|concern\w* for)\b"
)
NEGATION_BEFORE = (
    r"(?<!or )(?<!likely )(?<!probably )no|nil|zero|nothing|not|without|neither|nor|never|rather than|denie[sd]"
    r"|fail(?:s|ed) to (?:show|demonstrate|reveal)"
    rf"|neg(?:ative)? for|free (?:of|from)|clear of|(?:absence|lack|clearing|{LOSS}) of|resolved"
)
NEGATION_AFTER = (
    rf"absent|{NOT_FOUND}|not (?:recur|re-?accumulat)\w*|\A(?:{LOSS})|(?:is|are|was|were) negative(?! for)"
    rf"|(?:is|are|was|were|be|has|have)(?: been)?(?: {ADVERB})* (?:{GONE}|{EXCLUDED})"
)
SENTENCE_END = r"(?<!\d)\.|\.(?!\d)|[;:?!\u2014]| [-\u2013]+ "
CONJUNCTION = (
    r"\b(?:but|however|although|though|except|apart from|aside from|other than|besides|whereas|yet|which"
    r"|secondary to)\b"
)
NEW_STATEMENT = (  # "no pneumothorax, mild cardiomegaly" changes its mind; "no effusion, large mass, or edema" does not
    r"(?:,|\band|\bwith)\s+(?=(?:an?|the|there|mild|moderate|severe|small|large|tiny|stable|known|chronic|persistent"
    r"|unchanged|(?:in|de)creas\w+|improv\w+|worsen\w+|new|minimal|marked|left|right|bilateral|positive"
    r"|[^,]* (?:persists?|remains?|unchanged|stable|(?:is|are) (?:present|seen|noted)))\b(?!.*\b(?:or|nor)\b))"
)
JOINT = r" *(?:[:=(,?|\u2013\u2014]|--? ) *"  # between a finding and its answer
ANSWER_END = rf"(?= *(?:(?:{ADVERB}|today) *)?(?:[.,;)|](?!\d)|$)| (?:since|from|compared|with|without|and|but)\b)"
DENIAL = (
    rf"(?:(?:none|nil|{NOT_FOUND})\b(?! (?:on|in|at|to|or|left|right)\b| ?/)|no(?= (?:- )?{LIST} ?:)"
    rf"|(?:no(?: (?:evidence|significant|acute|focal|definite|{FOUND}))?|neg|negative|-ve|-|n|0"
    rf"|(?:{ADVERB} )?(?:absent|{GONE}|{EXCLUDED})){ANSWER_END})"
)
DOUBT = (
    rf"(?:(?:possible|probable|likely|unlikely|suspected|uncertain|equivocal|(?:yes|no) ?/ ?(?:yes|no)){ANSWER_END}|\?)"
)
SIDE = r"(?:(?:on |in )?(?:the )?(?:left|right|l|r|bilateral\w*|both)(?: sides?| lungs?)?\b)"
SIDED = rf"(?:{SIDE}(?: |{JOINT}){DENIAL}|none {SIDE})"
OTHER_SIDE = rf"[,;]? (?:and )?(?:\w+ )?{SIDE}|\. {SIDE} *:"
DEVICE = PATTERNS["support_devices"]
PREDICATE = "is|are|was|were|has|have|not|no longer|without|can ?not|may|might|likely|unlikely|probably"
NORMAL_FORM = (  # what the next steps expect; each line with what it is for, in this order
    (r"(?:\[ ?\]|\( \)|\u2610)[^\[(\u2610-\u2612\n.;,]*", " "),  # boxes that are not ticked, then those that are
    (r"\[x\]|\(x\)|[\u2611\u2612]", " "),
    (r"\s*\n\s*\n\s*|\s*\n\s*(?=[-*\u2022]|\d+[.)])", ". "),  # paragraphs and bullets
    (r"\s+", " "),
    (rf"\b(?:{NO_NEGATION})\b", " "),
    (r" (?:(?:on|in|for) (?:either|both|all)(?: (?:sides?|lungs?|of (?:these|them)))?)(?= *(?:[.,;]|$))", ""),
    (rf"\b({LIST})(?: |{JOINT}){SIDED}(?:[.,;]? (?:and )?{SIDED})*(?!{OTHER_SIDE})", r"no \1."),  # "left: none"
    (rf"\b((?:{DOUBT_BEFORE})) *:", r"\1"),  # "differential: pneumonia, edema"
    (rf"(^|[.;,] ?)(?:\(-\)|\u00f8) ?(?={LIST})", r"\1no "),
    (rf"\bfollow[- ]?up (?={LIST})", "follow-up of "),
    (r"\b((?:prior|previous|earlier) \w+),? (?:which|that) (?=show|demonstrat)", r"\1 "),
    (rf"\b(?:post|after|following)(?= (?:\w+ ){{0,2}}(?:{DEVICE})\b)", ";"),  # "no pneumothorax after a chest tube"
    (rf"\b(not (?:\w+ly )?(?!{FOUND})\w+ed),", r"\1."),  # "not rotated, cardiomegaly"
    (rf"((?:^|[.;:])\W*)({LIST}) *[:=] *{DENIAL}", r"\1no \2."),  # "pneumothorax, effusion: none"
    (rf"(?:\b({ANY}) +|{JOINT}){DENIAL}", r"\1 is absent."),  # "small nodule, effusion - none"
    (rf"(?<![\w)])\? ?(?=(?:\w+ ){{0,2}}(?:{ANY})\b)", "possible "),  # "? left effusion"
    (rf"(?:\b({ANY}) *|{JOINT}){DOUBT}", r"\1 is possible."),  # "pneumonia?"
    (r", (?=if any\b|until\b)", " "),
    (rf" *:(?= *(?:{PREDICATE})\b)", ""),  # "edema: has resolved"
    (rf"({LIST}) *:(?= *(?:there (?:is|are) )?no\b|[^.;:]*\b\1(?:e?s)?\b)", ":"),  # "effusion: no effusion seen"
    (rf", (?={LIST} *:)", "; "),  # "no effusion, nodule: 5 mm"
    (rf",? (?:which|that) (?={NEGATION_AFTER})", " "),  # "opacity, which has cleared"
    (rf"\b({NEGATION_AFTER}|{EXCLUDED})(?= *(?:,|(?:and|with)\b))", r"\1."),  # "edema has resolved, mass persists"
    (rf"\b((?:clearing|{LOSS}) of [^.;:,]*?)(?= with\b|(?!{LIST_REST}),)", r"\1."),  # "after removal of a tube, edema"
)
LINE_START = r"(?m)^(.{1,50})\n\s*(?=[A-Z])|\n\s*(?=[A-Z][a-z])"  # of a list without full stops
HEADINGS = (
    r"(?:^|(?<=[.\n]))\s*(clinical (?:history|indication|information|question)|history|indications?|comparisons?"
    r"|technique|reason for (?:the )?(?:exam(?:ination)?|study)|findings?|impressions?)\s*:"
)


class Status(Enum):
    """What a report says about a finding."""

    PRESENT = 3  # the highest value in a report wins
    UNKNOWN = 2
    ABSENT = 1


@dataclass(frozen=True, slots=True)
class ReportFindings:
    """Findings stated and findings denied, each in the order of FINDINGS; uncertain ones are in neither."""

    present: tuple[str, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of a report that describe the image; `rest` is text without a heading."""

    findings: str
    impression: str
    rest: str


def split_sections(text: str) -> Sections:
    """Split "FINDINGS: ... IMPRESSION: ..."; history, indication, comparison and technique are left out."""
    rest, *pieces = re.split(HEADINGS, text, flags=re.IGNORECASE)
    parts: dict[str, list[str]] = {}
    for heading, body in zip(pieces[::2], pieces[1::2], strict=True):
        parts.setdefault(heading.lower().rstrip("s"), []).append(body.strip())
    return Sections(" ".join(parts.get("finding", [])), " ".join(parts.get("impression", [])), rest.strip())


def read_findings(text: str) -> ReportFindings:
    """Label a report or caption; `no_finding` if normality is stated and no disease is even suspected.

    Its first 10,000 characters are read: the time grows with their square.
    """
    sections = split_sections(text[:MAX_REPORT_CHARACTERS])
    text = f"{sections.rest}\n\n{sections.findings}\n\n{sections.impression}"
    plain = expand_abbreviations(re.sub(LINE_START, r"\1\n\n", text).lower())
    status: dict[str, Status] = {}
    for segment in _segments(plain):
        for finding, found in _read_segment(segment):
            status[finding] = max(found, status.get(finding, Status.ABSENT), key=lambda s: s.value)
    disease = any(found is not Status.ABSENT for name, found in status.items() if name != "support_devices")
    if not disease and (re.search(rf"\b(?:{NORMAL})\b", plain) or re.search(rf"\b(?:{CLEAR_LUNGS})\b", plain)):
        status["no_finding"] = Status.PRESENT
    return ReportFindings(
        tuple(name for name in FINDINGS if status.get(name) is Status.PRESENT),
        tuple(name for name in FINDINGS if status.get(name) is Status.ABSENT),
    )


def expand_abbreviations(text: str) -> str:
    """Expand the abbreviations of ABBREVIATIONS, in upper or lower case."""
    words = "|".join(re.escape(short) for short in sorted(ABBREVIATIONS, key=len, reverse=True))
    return re.sub(rf"(?<![\w/])(?:{words})(?![\w/])", lambda m: ABBREVIATIONS[m[0].lower()], text, flags=re.IGNORECASE)


def clean_text(text: str) -> str:
    """Remove the de-identification marks (XXXX) of Indiana reports, and the spaces and punctuation around them."""
    text = re.sub(r"\bX{2,}\b", " ", text)
    text = re.sub(r"\s+([.,;:])", r"\1", text)
    return re.sub(r"\s+", " ", re.sub(r"([.,;:])[.,;:]+", r"\1", text)).lstrip(" .,;:").rstrip(" ,;:")


def _segments(text: str) -> list[str]:
    """The statements of a text; what a trigger decides ends with its segment."""
    for pattern, form in NORMAL_FORM:
        text = re.sub(pattern, form, text)
    return [
        segment
        for sentence in re.split(SENTENCE_END, text)
        for segment in re.split(f"{CONJUNCTION}|{NEW_STATEMENT}", " ".join(sentence.split()))
    ]


def _read_segment(segment: str) -> list[tuple[str, Status]]:
    segment = re.sub(DENIED_DOUBT, r"\1\2", segment)
    found = [
        (finding, _status(segment[: mention.start()], segment[mention.end() :]))
        for finding, pattern in PATTERNS.items()
        for mention in re.finditer(rf"\b(?:{pattern})\b", segment)
    ]
    if re.search(rf"\b(?:{NORMAL_HEART})\b", segment):
        found.append(("cardiomegaly", Status.ABSENT))
    if re.search(rf"\b(?:{CLEAR_LUNGS})\b", segment):
        found += [("consolidation", Status.ABSENT), ("airspace_opacity", Status.ABSENT)]
    return found


def _status(before: str, after: str) -> Status:
    reach = re.sub(f"^{LIST_REST}", "", after).partition(",")[0].strip()
    doubt, negation = _last(DOUBT_BEFORE, before), _last(NEGATION_BEFORE, before)
    if re.search(rf"\b(?:{DOUBT_AFTER})\b", reach) or doubt > negation:
        return Status.UNKNOWN
    return Status.ABSENT if negation >= 0 or re.search(rf"\b(?:{NEGATION_AFTER})\b", reach) else Status.PRESENT


def _last(pattern: str, text: str) -> int:
    """The end of the last match, or -1."""
    return max((match.end() for match in re.finditer(rf"\b(?:{pattern})\b", text)), default=-1)
