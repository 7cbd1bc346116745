"""Every measure in plain words: title, unit, which way is better, how to read it; the pages' help comes from here."""

from __future__ import annotations

from dataclasses import dataclass

from xray_generator.evaluation.records import Direction


@dataclass(frozen=True, slots=True)
class Measure:
    """What a reader must know of a measure."""

    title: str
    direction: Direction
    help: str  # one or two sentences for a person who is no statistician: what it is, the yardstick, how to read it
    unit: str = ""
    group: str = ""  # realism, detail, diversity, prompts, copies, use, speed, reconstruction


MEASURES: dict[str, Measure] = {
    # prompt fidelity (fidelity.py) and utility (utility.py)
    "prompt_auroc": Measure(
        "Prompt fidelity (AUROC)",
        "higher",
        "How often the reference classifier scores an image prompted to show this above one prompted not to: 0.5 is "
        "chance, 1 is always. For comparison, the same on real images of unseen patients.",
        group="prompts",
    ),
    "prompt_accuracy": Measure(
        "Prompt fidelity (balanced accuracy)",
        "higher",
        "How often the reference classifier agrees with the prompt: the mean of sensitivity and specificity, 0.5 by "
        "chance. It makes mistakes on real images too, so compare with its figure there.",
        group="prompts",
    ),
    "prompt_accuracy_share": Measure(
        "Prompt fidelity, share of real",
        "higher",
        "The classifier's accuracy above chance on generated images, divided by that on real ones. 1: generated "
        "images show the finding as clearly as real ones do; 0: they ignore the prompt.",
        group="prompts",
    ),
    "utility_synthetic": Measure(
        "Trained on synthetic, tested on real",
        "higher",
        "A simple classifier learns from generated images alone and is tested on real films (AUROC: 0.5 is chance, 1 "
        "is perfect). Beside it the same classifier trained on as many real films.",
        group="use",
    ),
    "utility_both": Measure(
        "Trained on real and synthetic",
        "higher",
        "The same classifier, trained on real films and as many generated images. Above the figure for real films "
        "alone, the generated images add something.",
        group="use",
    ),
    "utility_ratio": Measure(
        "Utility ratio",
        "higher",
        "Trained on synthetic divided by trained on real, both tested on real films. 1 means that generated images "
        "teach as well as real ones; 0.95 and more is good.",
        group="use",
    ),
    "class_accuracy": Measure(
        "Class fidelity",
        "higher",
        "Share of generated images that the reference classifier assigns to the class that was asked for. It makes "
        "mistakes on real images too, so compare with its accuracy on unseen real images.",
        group="prompts",
    ),
    "few_gain": Measure(
        "Gain where real images are few",
        "higher",
        "By how much a simple classifier of classes gets better on unseen real images (mean over the classes of its "
        "share of right answers) when generated images are added to the few real ones it learns from. Above 0 they "
        "help; the figure beside it is what it reaches on the real ones alone.",
        group="use",
    ),
    "few_synthetic": Measure(
        "Classes learned from synthetic alone",
        "higher",
        "The same classifier, trained on generated images only: mean share of right answers over the classes of unseen "
        "real images. Beside it the figure after learning from all real ones.",
        group="use",
    ),
    "utility_shuffled": Measure(
        "Control: shuffled labels",
        "chance",
        "The same classifier, trained on generated images with the labels of others. It must be near 0.5, chance; if "
        "it is not, the test itself leaks.",
        group="use",
    ),
}

# of single images and of pairs: image_quality
MEASURES |= {
    "sharpness": Measure(
        "Sharpness",
        "real",
        "Variance of the Laplacian: how strongly gray levels bend from pixel to pixel. Below real images the picture is"
        " blurred, above it is noisy.",
        "gray levels²",
        "detail",
    ),
    "contrast": Measure(
        "Contrast",
        "real",
        "Standard deviation of the pixels, from 0 to 1. As on real images is best: less is flat, more is harsh.",
        group="detail",
    ),
    "brightness": Measure(
        "Brightness", "real", "Mean of the pixels, from 0, black, to 1, white; best as on real images.", group="detail"
    ),
    "entropy": Measure(
        "Entropy",
        "real",
        "How many of the 256 gray levels a picture uses, and how evenly. Below real images tones are missing.",
        "bits",
        "detail",
    ),
    "snr": Measure(
        "Signal to noise",
        "real",
        "Mean brightness over the noise that a single image shows. Far above real images the picture is too smooth,"
        " far below it is noisy. Fine texture counts as noise too, so read it only beside real images.",
        group="detail",
    ),
    "spectral_distance": Measure(
        "Spectral distance",
        "lower",
        "How far the power spectrum, coarse shapes to fine grain, is from that of real images. The yardstick is the"
        " distance between two halves of the real images.",
        "dB",
        "detail",
    ),
    "mse": Measure(
        "Mean squared error",
        "lower",
        "Mean squared difference of an image to the one it should be, pixels from 0 to 1. 0: equal.",
        group="reconstruction",
    ),
    "psnr": Measure(
        "PSNR",
        "higher",
        "Peak signal to noise ratio of an image to the one it should be: 34 dB and more is hard to tell by eye.",
        "dB",
        "reconstruction",
    ),
    "ssim": Measure(
        "SSIM",
        "higher",
        "Structural similarity of an image to the one it should be: 1 is equal, 0 has nothing in common.",
        group="reconstruction",
    ),
    "ms_ssim": Measure(
        "Similarity of two images (MS-SSIM)",
        "real",
        "How alike two images are, of all or of the condition that is named: 1 is equal. Above real images of the same"
        " condition the model repeats itself.",
        group="diversity",
    ),
}
MEASURES |= {
    f"{name}_ratio": Measure(
        f"{MEASURES[name].title}, ratio to real",
        "real",
        f"{MEASURES[name].title} of the generated images divided by that of the real ones: 1 is as real.",
        "× real",
        "detail",
    )
    for name in ("sharpness", "contrast", "brightness", "entropy", "snr")
}

# of sets: distribution, detectability
MEASURES |= {
    "frechet_distance": Measure(
        "Fréchet distance",
        "lower",
        "Distance between the clouds of generated and of real images in a named feature space, each taken as a bell"
        " curve. Its scale is the space's own: read it beside the distance between two halves of the real images.",
        group="realism",
    ),
    "frechet_ratio": Measure(
        "Fréchet distance, ratio to real",
        "lower",
        "The Fréchet distance divided by that between two halves of the real images, of equally many images, one of a"
        " patient: about 1 is as near as real images are to each other. It grows with n: compare at equal n alone.",
        "× real",
        "realism",
    ),
    "kernel_distance": Measure(
        "Kernel distance",
        "lower",
        "Distance between generated and real images in a named feature space that supposes no bell curve. Two halves of"
        " the real images have about 0, a little above or below, so there is no ratio.",
        group="realism",
    ),
    "precision": Measure(
        "Precision",
        "real",
        "Share of generated images that lie among real ones. Below the yardstick, images are unlike any real one.",
        group="realism",
    ),
    "recall": Measure(
        "Recall",
        "real",
        "Share of real images that lie among generated ones. Below the yardstick, kinds of them are never drawn.",
        group="diversity",
    ),
    "density": Measure(
        "Density",
        "real",
        "How many real images' neighborhoods hold a generated one, about 1 for real images. Above: it draws the typical"
        " again and again; below: images are far from real.",
        group="realism",
    ),
    "coverage": Measure(
        "Coverage",
        "real",
        "Share of real images that have a generated one near by. Below the yardstick, kinds of them are missing.",
        group="diversity",
    ),
    "inception_score": Measure(
        "Inception score",
        "real",
        "Sure and varied answers of a classifier of everyday photographs; it was not made for X-rays and says little"
        " about them. Read it beside real images only.",
        group="realism",
    ),
    "detectability": Measure(
        "Detectability",
        "lower",
        "How often a classifier finds the generated one of a generated and a real image: 0.5 is guessing, so it"
        " cannot tell them apart; 1 is always right. It rises with n.",
        "AUROC",
        "realism",
    ),
    # copies, speed and size
    "copy_rate": Measure(
        "Copy rate",
        "lower",
        "Share of generated images nearer to a training image than unseen real images are. By design the alarm goes off"
        " for some 3 % of those too; more than their share means that the model copies patients.",
        group="copies",
    ),
    "authenticity": Measure(
        "Authenticity",
        "real",
        "Share of images farther from their nearest training image than that one is from its own nearest fellow. Far"
        " below the yardstick, images are made out of single training images.",
        group="copies",
    ),
    "nearest_distance_ratio": Measure(
        "Nearest-neighbor distance ratio",
        "real",
        "Distance to the nearest training image over that to random ones, in the middle of all images. Below the"
        " yardstick, images keep closer to the training set than unseen patients do.",
        group="copies",
    ),
    "copies_found": Measure(
        "Planted copies found",
        "higher",
        "Exact, mirrored, brightened and cropped copies of training images were planted; this share was found. Under"
        " 95 % the copy rate is too low to be believed.",
        group="copies",
    ),
    "false_alarms": Measure(
        "False alarms of the copy audit",
        "lower",
        "Share of unseen real images taken for copies by a threshold that other real images set. It should be 5 %"
        " at most.",
        group="copies",
    ),
    "nearest_mse": Measure(
        "Squared difference to the nearest real image",
        "real",
        "Mean squared difference of an image to the real image most like it, of the set that is named. Far below the"
        " yardstick, which unseen real images have to the training images, it is a copy; far above, unlike any.",
        group="copies",
    ),
    "nearest_psnr": Measure(
        "Similarity to the nearest real image (PSNR)",
        "real",
        "PSNR of an image to the real image most like it, of the set that is named. It says how close the set is, and"
        " not how good an image is: above the yardstick of unseen real images it keeps too close to the training set.",
        "dB",
        "copies",
    ),
    "nearest_ssim": Measure(
        "Similarity to the nearest real image (SSIM)",
        "real",
        "Structural similarity of an image to the real image most like it, of the set that is named; read as the PSNR"
        " above.",
        group="copies",
    ),
    "latency_ms": Measure(
        "Time for one image",
        "lower",
        "Middle time from prompt to image on the machine that is named, loading left out. It grows with the steps.",
        "ms",
        "speed",
    ),
    "images_per_second": Measure(
        "Images a second", "higher", "One after the other, with the recommended settings.", "1/s", "speed"
    ),
    "peak_memory_mb": Measure(
        "Peak memory", "lower", "The most that the process held until its first images were drawn.", "MB", "speed"
    ),
    "parameters": Measure(
        "Parameters",
        "lower",
        "Weights and biases of all networks together: fewer are faster to load and to run.",
        group="speed",
    ),
}
