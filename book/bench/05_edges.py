"""Edges, contours, distances and basins beside the usual libraries."""
import cv2
import numpy as np
from bench import Line
from scipy import ndimage
from skimage import data, feature, segmentation

from seglib import edges


def agree(share):
    return lambda ours, theirs: np.mean(ours == theirs) >= share


def lines():
    image = data.camera()
    slope = np.hypot(*edges.gradients(image, 1))
    markers = np.zeros(image.shape, np.int32)
    markers[16::32, 16::32] = np.arange(1, 257).reshape(16, 16)
    mask = image > 100
    hills = edges.distance_transform(mask)
    tops = edges.peaks(hills)

    yield Line("watershed of floats, 512²",
               lambda: edges.watershed(slope, markers),
               lambda: segmentation.watershed(slope, markers),
               "scikit-image", 1.0, agree(0.999))
    yield Line("watershed of bytes, 512²",
               lambda: edges.watershed(image, markers),
               lambda: segmentation.watershed(image, markers),
               "scikit-image", 1.0, agree(0.999))
    yield Line("watershed of distances, 512²",
               lambda: edges.watershed(-hills, tops, mask),
               lambda: segmentation.watershed(-hills, tops, mask=mask),
               "scikit-image", 1.0, agree(0.98))
    yield Line("chan_vese, 100 iterations, 512²",
               lambda: edges.chan_vese(image, iterations=100, tolerance=0),
               lambda: segmentation.chan_vese(image, tol=0,
                                              max_num_iter=100),
               "scikit-image", 0.5, agree(0.999))
    yield Line("distance_transform, 512²",
               lambda: edges.distance_transform(mask),
               lambda: ndimage.distance_transform_edt(mask),
               "scipy.ndimage", 1.5, np.array_equal)
    yield Line("distance_transform, 512², OpenCV",
               lambda: edges.distance_transform(mask),
               lambda: cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2,
                                             cv2.DIST_MASK_PRECISE),
               "OpenCV", 3.0, lambda a, b: np.allclose(a, b, atol=0.01))
    yield Line("canny, 512²",
               lambda: edges.canny(image, 2),
               lambda: feature.canny(image, 2, mode="nearest"),
               "scikit-image", 1.0, agree(0.999))
