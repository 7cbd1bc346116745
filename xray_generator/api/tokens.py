"""Who may ask: tokens with the names of their owners. Only hashes of tokens are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from ipaddress import ip_address

from xray_generator.checkpoints import NAME
from xray_generator.types import StudioError

LOCAL = "local"  # the owner of everything where no token is asked for
MIN_CHARACTERS = 16
HASHED = "sha256:"
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The SHA-256 of each token with the name of its owner; none: no token is asked for."""

    hashes: tuple[tuple[str, str], ...] = ()

    def find_owner(self, token: str) -> str | None:
        """Whose token this is; None: nobody's. It takes as long for a wrong token as for a right one."""
        given, found = hash_token(token), None
        for known, owner in self.hashes:
            if hmac.compare_digest(known, given):
                found = owner
        return found


def hash_token(token: str) -> str:
    """The SHA-256 of a token in hex: tokens are long and random, so that nothing slower is needed."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def read_tokens(text: str) -> Tokens:
    """Tokens from words such as `anna:TOKEN` or `anna:sha256:HASH`; lines that begin with # are left out.

    An owner may have several.

    Raises:
        StudioError: a word looks different, or a token is too short. The text names its place, never the token.
    """
    words = " ".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).split()
    return Tokens(tuple(_read_token(word, number) for number, word in enumerate(words, start=1)))


def _read_token(word: str, number: int) -> tuple[str, str]:
    owner, _, token = word.partition(":")  # neither is told: the two may be in each other's place
    if not token or not NAME.fullmatch(owner):  # it becomes a folder
        raise StudioError(
            f"Token {number} must be written NAME:TOKEN or NAME:{HASHED}HASH, the name in a-z, 0-9, _ . and -."
        )
    if token.startswith(HASHED):
        if not HASH.fullmatch(token.removeprefix(HASHED)):
            raise StudioError(f"Token {number} is no hash: one has 64 hexadecimal digits, 0-9 and a-f.")
        return token.removeprefix(HASHED), owner
    if len(token) < MIN_CHARACTERS:
        raise StudioError(f"Token {number} is too short: one has {MIN_CHARACTERS} characters or more.")
    return hash_token(token), owner


def make_token() -> str:
    """A new random token."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name
        return host == "localhost"
