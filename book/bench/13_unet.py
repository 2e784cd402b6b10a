"""U-Net beside the same network, written down without ado; its gaps."""
import numpy as np
import torch
from bench import Line
from scipy import ndimage
from torch import nn

from seglib.scenes import Cells
from seglib.unet import UNet, border_weights


def block(a, b):
    """Two convolutions with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b),
        nn.ReLU(inplace=True),
        nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b),
        nn.ReLU(inplace=True))


class Plain(nn.Module):
    """The same layers, for multiples of 16; no library has this net."""

    def __init__(self, classes, channels, w):
        super().__init__()
        self.d1, self.d2 = block(channels, w), block(w, 2 * w)
        self.d3, self.d4 = block(2 * w, 4 * w), block(4 * w, 8 * w)
        self.d5, self.pool = block(8 * w, 16 * w), nn.MaxPool2d(2)
        self.u4 = nn.ConvTranspose2d(16 * w, 8 * w, 2, 2)
        self.u3 = nn.ConvTranspose2d(8 * w, 4 * w, 2, 2)
        self.u2 = nn.ConvTranspose2d(4 * w, 2 * w, 2, 2)
        self.u1 = nn.ConvTranspose2d(2 * w, w, 2, 2)
        self.c4, self.c3 = block(16 * w, 8 * w), block(8 * w, 4 * w)
        self.c2, self.c1 = block(4 * w, 2 * w), block(2 * w, w)
        self.out = nn.Conv2d(w, classes, 1)

    def forward(self, x):
        a = self.d1(4 * x - 2)
        b = self.d2(self.pool(a))
        c = self.d3(self.pool(b))
        d = self.d4(self.pool(c))
        x = self.d5(self.pool(d))
        x = self.c4(torch.cat((d, self.u4(x)), 1))
        x = self.c3(torch.cat((c, self.u3(x)), 1))
        x = self.c2(torch.cat((b, self.u2(x)), 1))
        return self.out(self.c1(torch.cat((a, self.u1(x)), 1)))


def there_and_back(net, x):
    def run():
        net.zero_grad(set_to_none=True)
        net(x).sum().backward()
    return run


def every_cell_alone(instances):
    """The recipe that goes around: one transform for each cell."""
    each = [ndimage.distance_transform_edt(instances != n)
            for n in np.unique(instances) if n]
    near, second = np.sort(each, axis=0)[:2]
    return 1 + (instances == 0) * 10 * np.exp(-(near + second)**2 / 50)


def lines():
    x = torch.rand(8, 3, 96, 128)
    ours, theirs = UNet(13, width=16), Plain(13, 3, 16)
    assert (sum(p.numel() for p in ours.parameters())
            == sum(p.numel() for p in theirs.parameters()))
    yield Line("U-Net 16, forward + backward, 8 x 96 x 128",
               there_and_back(ours, x), there_and_back(theirs, x),
               "the same net in plain torch", 1.05)
    cells = Cells(1, size=(256, 256), touching=1)[0].instances
    yield Line("border weights, 256 x 256", lambda: border_weights(cells),
               lambda: every_cell_alone(cells),
               "a scipy transform per cell", 0.5)
