"""Evaluation."""

from __future__ import annotations


def main() -> None:
    """Draw the page."""


main()
