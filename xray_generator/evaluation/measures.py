"""Every measure in plain words: title, unit, which way is better, how to read it. The pages' help comes from here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xray_generator.evaluation.records import Direction


@dataclass(frozen=True, slots=True)
class Measure:
    """What a reader must know of a measure."""

    title: str
    direction: Direction
    help: str  # one to three sentences for a reader who is no statistician: what it is, its reference, how to read it
    unit: str = ""
    group: str = ""  # a key of `summary.GROUPS`


# group -> key -> measure. The keys are those of stored records: they stay, whatever the titles become.
_GROUPS: dict[str, dict[str, Measure]] = {
    "realism": {
        "frechet_distance": Measure(
            "Fréchet distance",
            "lower",
            "Distance between generated and real images in a named feature space, each set modeled as a Gaussian. The "
            "scale depends on the space: compare with the distance between two halves of the real images.",
        ),
        "frechet_ratio": Measure(
            "Fréchet distance, ratio to real",
            "lower",
            "The Fréchet distance divided by that between two halves of the real images, all samples of equal size "
            "and with one image per patient. About 1: as close as real images are to each other. Compare at equal n "
            "only.",
            "× real",
        ),
        "kernel_distance": Measure(
            "Kernel distance",
            "lower",
            "Distance between generated and real images in a named feature space (MMD, as in the Kernel Inception "
            "Distance), without assuming a Gaussian. Between two halves of the real images it is about 0, so there is "
            "no ratio.",
        ),
        "fid": Measure(
            "FID, as others report it",
            "lower",
            "Fréchet distance of all generated images from all real ones in the features of Inception-v3, which was "
            "trained on everyday photographs. It is biased: the fewer images, the larger. Compare only values of the "
            "same numbers of images and the same real ones.",
        ),
        "kid": Measure(
            "KID, as others report it",
            "lower",
            "Kernel distance of generated and real images in the features of Inception-v3, mean over 100 random "
            "subsets. Unlike the FID it has no bias by the number of images.",
        ),
        "precision": Measure(
            "Precision",
            "real",
            "Share of generated images that lie among real ones. Below the figure of real images, some resemble no "
            "real image.",
        ),
        "density": Measure(
            "Density",
            "real",
            "How many neighborhoods of real images contain a generated one; about 1 for real images. Higher: the "
            "model repeats typical images; lower: images are far from real.",
        ),
        "inception_score": Measure(
            "Inception score",
            "real",
            "Confident and varied predictions of a classifier of everyday photographs. It was not made for medical "
            "images and says little about them; read it only in comparison with real images.",
        ),
        "detectability": Measure(
            "C2ST AUROC",
            "lower",
            "Classifier two-sample test: how often a classifier scores a generated image as more likely generated "
            "than a real one. 0.5: it cannot tell them apart; 1: it always can. It rises with n.",
        ),
    },
    "detail": {
        "sharpness": Measure(
            "Sharpness",
            "real",
            "Variance of the Laplacian: how much gray levels change from pixel to pixel. Lower than in real images "
            "means blurred, higher means noisy.",
            "gray levels²",
        ),
        "contrast": Measure(
            "Contrast",
            "real",
            "Standard deviation of the pixels, from 0 to 1. Lower than in real images is flat, higher is harsh.",
        ),
        "brightness": Measure(
            "Brightness", "real", "Mean of the pixels, from 0 (black) to 1 (white); best as in real images."
        ),
        "entropy": Measure(
            "Entropy",
            "real",
            "How many of the 256 gray levels an image uses, and how evenly. Lower than in real images: tones are "
            "missing.",
            "bits",
        ),
        "snr": Measure(
            "Signal to noise",
            "real",
            "Mean brightness divided by the noise of the image. Far above real images, it is too smooth; far below, "
            "noisy. Fine texture counts as noise too, so read it only in comparison with real images.",
        ),
        "spectral_distance": Measure(
            "Spectral distance",
            "lower",
            "How far the power spectrum, from coarse shapes to fine grain, is from that of real images. For "
            "comparison, the distance between two halves of the real images.",
            "dB",
        ),
    },
    "diversity": {
        "ms_ssim": Measure(
            "Similarity of two images (MS-SSIM)",
            "real",
            "Multi-scale structural similarity of two generated images of the same set or condition: 1 is identical. "
            "Higher than between real images, the model repeats itself.",
        ),
        "recall": Measure(
            "Recall",
            "real",
            "Share of real images that lie among generated ones. Below the figure of real images, some kinds are "
            "never generated.",
        ),
        "coverage": Measure(
            "Coverage",
            "real",
            "Share of real images that have a generated one nearby. Below the figure of real images, some kinds are "
            "missing.",
        ),
    },
    "prompts": {
        "fact_response": Measure(
            "Response to one changed fact",
            "higher",
            "How far the denoiser's prediction moves, as a share of it, when one fact of the prompt is changed and the "
            "noise stays, at the noise level where structure is decided. Near 0 the fact is not heard.",
        ),
        "denied_score": Measure(
            "Score of a denied finding",
            "lower",
            "The classifier's mean probability of a finding on images whose prompt denies it. It should be "
            "that of normal images, not that of images whose prompt states the finding.",
        ),
        "prompt_auroc": Measure(
            "Prompt fidelity (AUROC)",
            "higher",
            "How often the reference classifier scores an image prompted to show this above one prompted not to: 0.5 "
            "is chance, 1 is always. For comparison, the same on real images of unseen patients.",
        ),
        "prompt_accuracy": Measure(
            "Prompt fidelity (balanced accuracy)",
            "higher",
            "How often the reference classifier agrees with the prompt: the mean of sensitivity and specificity, 0.5 "
            "by chance. It makes mistakes on real images too, so compare with its figure there.",
        ),
        "prompt_accuracy_share": Measure(
            "Prompt fidelity, share of real",
            "higher",
            "The classifier's accuracy above chance on generated images, divided by that on real ones. 1: generated "
            "images show the finding as clearly as real ones do; 0: they ignore the prompt.",
        ),
        "class_accuracy": Measure(
            "Class fidelity",
            "higher",
            "Share of generated images that the reference classifier assigns to the class that was asked for. It "
            "makes mistakes on real images too, so compare with its accuracy on unseen real images.",
        ),
    },
    "copies": {
        "copy_rate": Measure(
            "Memorization rate",
            "lower",
            "Share of generated images closer to a training image than nearly all unseen real images are. By design "
            "some 3 % of the unseen real images are flagged too; a higher share means that the model copies patients.",
        ),
        "authenticity": Measure(
            "Authenticity",
            "real",
            "Share of images farther from their nearest training image than that one is from its own nearest "
            "neighbor. Far below the figure of real images, images are variations of single training images.",
        ),
        "nearest_distance_ratio": Measure(
            "Nearest-neighbor distance ratio",
            "real",
            "Median over all images of the distance to the nearest training image, divided by that to random training "
            "images. Below the figure of real images, images are closer to the training set than unseen patients are.",
        ),
        "copies_found": Measure(
            "Planted copies found",
            "higher",
            "Exact, mirrored, brightened and cropped copies of training images were planted as a test; this share was "
            "found. Below 95 %, the memorization rate is not reliable.",
        ),
        "false_alarms": Measure(
            "False alarms of the memorization audit",
            "lower",
            "Share of unseen real images flagged as copies, with a threshold set by other real images. It should be "
            "at most 5 %.",
        ),
        "nearest_mse": Measure(
            "Squared difference to the nearest real image",
            "real",
            "Mean squared difference between an image and the most similar real image of the named set. Far below the "
            "figure of unseen real images it is a copy; far above, it resembles no real image.",
        ),
        "nearest_psnr": Measure(
            "Similarity to the nearest real image (PSNR)",
            "real",
            "PSNR of an image against the most similar real image of the named set. It measures closeness and not "
            "quality: above the figure of unseen real images, images are too close to the training set.",
            "dB",
        ),
        "nearest_ssim": Measure(
            "Similarity to the nearest real image (SSIM)",
            "real",
            "Structural similarity of an image and the most similar real image of the named set; read it as the PSNR.",
        ),
    },
    "use": {
        "utility_synthetic": Measure(
            "Trained on synthetic, tested on real",
            "higher",
            "AUROC on real images of a simple classifier trained on generated images alone: 0.5 is chance, 1 is "
            "perfect. For comparison, the same classifier trained on as many real images.",
        ),
        "utility_both": Measure(
            "Trained on real and synthetic",
            "higher",
            "AUROC on real images of the same classifier, trained on real images and as many generated ones. If it is "
            "above the figure for real images alone, the generated images add information.",
        ),
        "utility_ratio": Measure(
            "Utility ratio",
            "higher",
            "AUROC after training on generated images, divided by that after training on real ones. 1: generated "
            "images are as useful as real ones; 0.95 or more is good.",
        ),
        "utility_shuffled": Measure(
            "Control: shuffled labels",
            "chance",
            "The same classifier, trained on generated images with shuffled labels. It must be near 0.5, chance; "
            "otherwise the test itself leaks information.",
        ),
        "few_gain": Measure(
            "Gain where real images are few",
            "higher",
            "How much the balanced accuracy of a simple classifier on unseen real images rises when generated images "
            "are added to the few real ones it is trained on. Above 0 they help. For comparison, its accuracy without "
            "them.",
        ),
        "few_synthetic": Measure(
            "Classes learned from synthetic alone",
            "higher",
            "Balanced accuracy on unseen real images of the same classifier, trained on generated images only. For "
            "comparison, the figure after training on all real ones.",
        ),
    },
    "structure": {
        "linear_v_error": Measure(
            "Error of the best linear denoiser",
            "lower",
            "How much of the latents can only be learned the hard way: the error that the best linear filter leaves, "
            "over seven noise levels. 1 is white noise, in which no frequency tells anything of another: a model then "
            "has no coarse outline to begin with.",
        ),
        "latent_fragility": Measure(
            "Loss by errors of the latents",
            "lower",
            "PSNR that real images lose when their latents get noise of a fifth of each channel's spread. What a model "
            "draws is never exact; a fragile decoder turns small errors into woven texture.",
            "dB",
        ),
        "band_power": Measure(
            "Power by frequency, ratio to real",
            "real",
            "Power of the generated images over that of real ones in bands of frequencies: 4 to 8 cycles an image hold "
            "the heart, 8 to 16 the ribs, 32 and more the texture. From middle noise: real images noised half and "
            "denoised again, which shows whether structure or detail fails.",
            "× real",
        ),
    },
    "reconstruction": {
        "mse": Measure(
            "Mean squared error",
            "lower",
            "Mean squared difference between an image and its target, with pixels from 0 to 1. 0: identical.",
        ),
        "psnr": Measure(
            "PSNR",
            "higher",
            "Peak signal-to-noise ratio of an image against its target; above 34 dB a difference is hard to see.",
            "dB",
        ),
        "ssim": Measure(
            "SSIM", "higher", "Structural similarity of an image and its target: 1 is identical, 0 is unrelated."
        ),
        "dssim": Measure("DSSIM", "lower", "Structural dissimilarity, (1 - SSIM) / 2: 0 is identical."),
        "fsim": Measure(
            "FSIM",
            "higher",
            "Feature similarity: whether edges and lines of an image are where they are in its target, weighted by how "
            "clear they are. 1 is identical.",
        ),
        "vif": Measure(
            "VIF",
            "higher",
            "Visual information fidelity: the share of the target's information that its image still holds. 1 is "
            "identical; an image with more contrast can exceed it.",
        ),
        "average_gradient": Measure(
            "Average gradient",
            "real",
            "Mean change of gray levels from pixel to pixel: how much detail an image shows, true or not.",
            "gray levels",
        ),
        "lpips": Measure(
            "LPIPS",
            "lower",
            "Perceptual distance of an image and its target by VGG-16, which was trained on everyday photographs and "
            "fitted to what people see as alike. 0 is identical.",
        ),
        "feature_distance": Measure(
            "Distance in the classifier's features",
            "lower",
            "How differently the reference classifier sees an image and its target: 1 minus the cosine of their "
            "features. A perceptual distance for medical images; 0 is identical.",
        ),
    },
    "speed": {
        "latency_ms": Measure(
            "Time for one image",
            "lower",
            "Median time from prompt to image on the named machine, without loading the model. It grows with the "
            "steps.",
            "ms",
        ),
        "images_per_second": Measure(
            "Images per second", "higher", "One after the other, with the recommended settings.", "1/s"
        ),
        "peak_memory_mb": Measure(
            "Peak memory", "lower", "The most memory the process used up to its first images.", "MB"
        ),
        "parameters": Measure(
            "Parameters", "lower", "Weights and biases of all networks together: fewer are faster to load and to run."
        ),
        "image_gigaflops": Measure(
            "Arithmetic for one image",
            "lower",
            "Floating point operations of all matrix products and convolutions while one image is drawn with the "
            "recommended settings. Unlike the time it is the same on every machine.",
            "GFLOP",
        ),
        "training_petaflops": Measure(
            "Arithmetic of the training",
            "lower",
            "Floating point operations of all steps of the training, forward and backward. Models that are compared "
            "should have had equal amounts.",
            "PFLOP",
        ),
    },
}
_GROUPS["detail"] |= {
    f"{name}_ratio": Measure(
        f"{_GROUPS['detail'][name].title}, ratio to real",
        "real",
        f"{_GROUPS['detail'][name].title} of the generated images divided by that of the real ones: 1 is as real.",
        "× real",
    )
    for name in ("sharpness", "contrast", "brightness", "entropy", "snr")
}
MEASURES = {
    name: replace(measure, group=group) for group, measures in _GROUPS.items() for name, measure in measures.items()
}
