"""Heat over the image: bright where a word has most attention; elsewhere the image stays as it is."""

import numpy as np

from xray_generator.abilities import AttentionMaps
from xray_generator.dashboards.word_maps import is_same, most_local, overlay, share

IMAGE = np.full((64, 64), 0.5, np.float32)
MAPS = np.full((3, 4, 4), 0.1, np.float32)
MAPS[1, 0, 0] = 0.7  # acts at the top left
MAPS[2, 3, 3] = 0.9  # more local still, but a word that says nothing
KNOWN = AttentionMaps(("Chest", "effusion", "with"), MAPS, IMAGE)


def test_heat_lies_where_the_word_acted_and_nowhere_else() -> None:
    drawn = overlay(KNOWN, [1])
    assert drawn.shape == (64, 64, 3) and drawn.min() >= 0 and drawn.max() <= 1
    changed = np.abs(drawn - IMAGE[..., None]).max(axis=2)
    assert changed[:8, :8].min() > 0.1
    np.testing.assert_allclose(drawn[40:, 40:], 0.5, atol=1e-5)


def test_no_word_and_a_word_that_acts_everywhere_alike_leave_the_image() -> None:
    for words in ([], [0]):
        np.testing.assert_allclose(overlay(KNOWN, words), 0.5, atol=1e-6)


def test_a_small_overlay_has_the_size_that_was_asked_for() -> None:
    assert overlay(KNOWN, [1], 32).shape == (32, 32, 3)


def test_shares_of_several_words_add_up() -> None:
    both = share(KNOWN, [0, 1])
    assert np.isclose(both.most, 0.8)
    assert np.isclose(both.mean, share(KNOWN, [0]).mean + share(KNOWN, [1]).mean)
    assert share(KNOWN, []).most == 0


def test_the_most_local_word_is_never_a_function_word() -> None:
    assert most_local(KNOWN) == 1
    assert most_local(AttentionMaps((), np.zeros((0, 4, 4), np.float32), IMAGE)) is None


def test_only_the_very_image_is_the_same() -> None:
    assert is_same(KNOWN, IMAGE.copy())
    assert is_same(KNOWN, IMAGE + np.float32(1e-6))  # as it is after it was stored in 8 bits
    assert not is_same(KNOWN, IMAGE + np.float32(2 / 255))
    assert not is_same(KNOWN, IMAGE[:32, :32])
