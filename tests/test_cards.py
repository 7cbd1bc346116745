"""What a card says of a training is what the training did."""

from dataclasses import replace

from xray_generator.cards import describe_training
from xray_generator.training.settings import TrainingConfig

TRAINING = TrainingConfig(num_steps=1_444, batch_size=64, learning_rate=4e-4, lr_schedule="cosine")


def test_the_optimizer_and_the_fall_of_its_rate_are_named() -> None:
    assert describe_training(TRAINING) == "1,444 steps of 64 images, AdamW, learning rate 0.0004 (cosine), seed 0"
    assert describe_training(replace(TRAINING, optimizer="muon", muon_rate=0.02, lr_schedule="plateau")) == (
        "1,444 steps of 64 images, Muon between hidden layers, learning rate 0.02, and AdamW, learning rate 0.0004, "
        "for the rest (constant, falling to 0 over the last 20%), seed 0"
    )
