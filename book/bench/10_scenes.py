"""Drawing scenes beside the rate that training needs, and a peer."""
import time

from bench import Line
from skimage.data import binary_blobs

from seglib.scenes import Cells, StreetScenes


def lines():
    streets, cells = StreetScenes(1000), Cells(1000)
    turn = iter(range(10**9))

    def scene():
        return streets[next(turn) % 1000]

    yield Line("a street, 96×128, one core", scene,
               lambda: time.sleep(0.01), "100 a second", 1.0)
    yield Line("a slide of cells, 128²", lambda: cells[next(turn) % 1000],
               lambda: binary_blobs(128), "skimage.data.binary_blobs", 3.0)
