"""Thresholds beside scikit-image's, on a photograph of 512 x 512."""
import numpy as np
from bench import Line
from skimage import data, filters

from seglib import thresholding


def lines():
    image = data.camera()

    def line(name, ours, theirs, at_most, same, *args):
        return Line(f"{name}, 512²", lambda: ours(image, *args),
                    lambda: theirs(image, *args), "scikit-image", at_most,
                    same)

    def close(a, b):
        return np.allclose(a, b, atol=1e-4)

    yield line("otsu", thresholding.otsu, filters.threshold_otsu, 1.0,
               np.array_equal)
    yield line("multi_otsu, 5 classes", thresholding.multi_otsu,
               filters.threshold_multiotsu, 1 / 100, np.array_equal, 5)
    yield line("triangle", thresholding.triangle,
               filters.threshold_triangle, 1.5, np.array_equal)
    yield line("li", thresholding.li, filters.threshold_li, 1.5, close)
    yield line("niblack", thresholding.niblack, filters.threshold_niblack,
               1.5, close)
    yield line("sauvola", thresholding.sauvola, filters.threshold_sauvola,
               1.0, close, 15, 0.2)
