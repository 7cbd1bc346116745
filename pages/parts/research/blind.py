"""Which one is real? Pairs in random order, the answer after the choice, and the score of the session."""

from __future__ import annotations

import streamlit as st

from pages.parts.research.frames import draw_image, generated_badge, pick_window, real_badge
from xray_generator.dashboards.side_by_side import Sides, blind_pairs
from xray_generator.requests import resolve_seed

SEED, TURN, ANSWER, SCORE = "blind_seed", "blind_turn", "blind_answer", "blind_score"  # score: right ones, all


def draw_blind(sides: Sides) -> None:
    """Draw one pair without marks, or with them once it is answered."""
    st.session_state.setdefault(SEED, resolve_seed(None))
    pairs = blind_pairs(sides, st.session_state[SEED])
    turn = st.session_state.get(TURN, 0) % len(pairs)
    place, partner, real_left = pairs[turn]
    shown = f"{sides.digest} {turn}"
    asked, answer = st.session_state.get(ANSWER, ("", None))
    answer = answer if asked == shown else None  # an answer holds for its pair alone
    text, left, right = st.columns([2, 3, 3], gap="medium")
    with text:
        window = pick_window("blind_window")
        _draw_score(answer)
        st.text(f"Pair {turn + 1} of {len(pairs)}\nAsked for: {sides.generated.rows[place].prompt}")
    for column, side in ((left, "Left"), (right, "Right")):
        with column:
            is_real = real_left == (side == "Left")
            _draw_mark(side, answer, is_real=is_real)
            image = sides.real.images[partner] if is_real else sides.generated.images[place]
            draw_image(image, window, f"{side} image")
            st.button(
                f"{side} is real",
                key=f"blind_{side}",
                width="stretch",
                disabled=answer is not None,
                on_click=_answer,
                args=(shown, is_real),
            )


def _draw_mark(side: str, answer: bool | None, *, is_real: bool) -> None:
    if answer is None:
        st.badge(side, color="gray")
    elif is_real:
        real_badge()
    else:
        generated_badge("(synthetic)")


def _draw_score(answer: bool | None) -> None:
    right, asked = st.session_state.get(SCORE, (0, 0))
    st.metric(
        "Right answers",
        f"{right} of {asked}" if asked else "none yet",
        border=True,
        help="Of this session, all conditions together. Guessing gives half; under some 20 answers it says little.",
    )
    if answer is None:
        st.caption("One film is real, the other was generated for this description. Which one is real?")
        return
    if answer:
        st.success("Right.")
    else:
        st.warning("Wrong: the other one is real.")
    st.button("Next pair", key="blind_next", type="primary", on_click=_next)


def _answer(shown: str, is_right: bool) -> None:
    right, asked = st.session_state.get(SCORE, (0, 0))
    st.session_state[SCORE] = (right + is_right, asked + 1)
    st.session_state[ANSWER] = (shown, is_right)


def _next() -> None:
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1
