"""Region growing beside scikit-image's."""
import numpy as np
from bench import Line
from skimage import data, segmentation

from seglib import region_growing
from seglib.display import as_float


def lines():
    grey, colour = data.camera(), data.astronaut()
    for name, image, axis in (("grey", grey, None), ("colour", colour, -1)):
        unit = as_float(image)
        yield Line(
            f"graph_merge, {name}, 512²",
            lambda image=image: region_growing.graph_merge(image, 100) - 1,
            lambda unit=unit, axis=axis: segmentation.felzenszwalb(
                unit, 100, 0.8, 20, channel_axis=axis),
            "scikit-image", 1.0, np.array_equal)
    yield Line(
        "flood, 512²", lambda: region_growing.flood(grey, (60, 400), 40),
        lambda: segmentation.flood(grey, (60, 400), tolerance=40,
                                   connectivity=1),
        "scikit-image", 3.0, np.array_equal)
