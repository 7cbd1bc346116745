"""The numbers that stand for a prompt's facts."""

import torch

from xray_generator.data.rows import FINDINGS
from xray_generator.families.latent_diffusion.facts import NUM_FACTS, encode_facts


def test_each_fact_has_numbers_of_its_own() -> None:
    prompts = ["", "PA", "AP", "a man", "a woman", "a child", "no effusion", "effusion", "normal chest X-ray"]
    facts = encode_facts(prompts)
    assert facts.shape == (len(prompts), NUM_FACTS) and (facts[0] == 0).all()
    assert all((one != 0).any() for one in facts[1:])
    assert len({tuple(one.tolist()) for one in facts}) == len(prompts)


def test_a_denial_is_another_fact_than_the_finding_and_than_silence() -> None:
    denied, present, silent = encode_facts(["no effusion", "effusion", "CXR"])
    place = NUM_FACTS - 2 * len(FINDINGS) + FINDINGS.index("pleural_effusion")
    assert (present[place], denied[place], silent[place]) == (1, 0, 0)
    assert (present[place + len(FINDINGS)], denied[place + len(FINDINGS)]) == (0, 1)


def test_ages_that_are_near_have_numbers_that_are_near() -> None:
    ages = [1, 5, 40, 42, 80]
    facts = encode_facts([f"{age}-year-old patient" for age in ages])
    distance = torch.cdist(facts, facts)
    assert distance[2, 3] < 1 < distance[2, 4] and distance[0, 2] > 1
