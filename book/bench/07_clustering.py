"""Clustering beside scikit-learn, OpenCV and scikit-image, 512 x 512."""
import warnings

import cv2
import numpy as np
from bench import Line
from skimage import data, filters, segmentation
from sklearn import cluster, mixture
from sklearn.exceptions import ConvergenceWarning

from seglib import clustering
from seglib.datasets import SamplePictures


def lines():
    image = data.astronaut()
    points = image.reshape(-1, 3) / 255
    yield Line("kmeans, 8 clusters, 512²",
               lambda: clustering.kmeans(points, 8),
               lambda: cluster.KMeans(8, random_state=0).fit(points),
               "scikit-learn", 1.0, same=about_the_same_inertia)
    start = points[::30_000][:8]
    yield Line("kmeans, 10 rounds from one start, 512²",
               lambda: clustering.kmeans(points, 8, start=start, tolerance=0,
                                         iterations=10),
               lambda: quiet(cluster.KMeans(8, init=start, n_init=1, tol=0,
                                            max_iter=10), points),
               "scikit-learn, two threads", 1.0, same=about_the_same_inertia)
    few = points[::4]
    yield Line("GaussianMixture, 5 components, 256²",
               lambda: clustering.GaussianMixture(5).fit(few),
               lambda: quiet(mixture.GaussianMixture(5, random_state=0), few),
               "scikit-learn", 1.0, same=lambda a, b: (
                   a.history[-1] > b.score(few) - 0.05))
    yield Line("mean_shift, 21 x 21, 512²",
               lambda: clustering.mean_shift(image, 10, 20),
               lambda: cv2.pyrMeanShiftFiltering(image, 10, 20, maxLevel=0),
               "OpenCV", 0.5, same=np.array_equal)
    mask = SamplePictures()["astronaut"].mask
    yield Line("slic, 250 segments, 512²",
               lambda: clustering.slic(image, 250),
               lambda: segmentation.slic(image, 250),
               "scikit-image", 1.0, same=lambda a, b: (
                   clustering.achievable_accuracy(a, mask)
                   >= clustering.achievable_accuracy(b, mask)))
    grey = data.camera() / 255
    yield Line("texture_features, 4 directions, 512²",
               lambda: clustering.texture_features(grey, [8]),
               lambda: [np.hypot(*filters.gabor(
                   grey, 1 / 8, k * np.pi / 4, sigma_x=4.48, sigma_y=4.48))
                   for k in range(4)], "scikit-image", 1.0)


def quiet(model, points):
    """Fit without the warning that a model might go on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(points)


def about_the_same_inertia(ours, theirs):
    return ours.inertia[-1] < 1.02 * theirs.inertia_
