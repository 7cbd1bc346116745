"""The reference encoder, trained on real images alone: the classifier and the feature space of the evaluation."""
