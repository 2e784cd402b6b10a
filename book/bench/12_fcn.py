"""torchvision's FCN and ours, forward and backward, with the same weights."""
import torch
from bench import Line
from torchvision.models.segmentation import fcn_resnet50 as peer

from seglib import fcn
from seglib.training import cross_entropy


def step(net, x, target, out):
    loss = cross_entropy(out(net(x)), target)
    loss.backward()
    for parameter in net.parameters():
        parameter.grad = None


def lines():
    theirs = peer(weights=None, weights_backbone=None, num_classes=13,
                  aux_loss=False)
    ours = fcn.fcn_resnet50(13, weights=theirs.state_dict())
    x = torch.rand(2, 3, 96, 128)
    target = torch.randint(13, (2, 96, 128))
    given = fcn.Standardise()
    yield Line("fcn_resnet50, forward + backward, 2 scenes",
               lambda: step(ours, x, target, lambda made: made),
               lambda: step(theirs, given(x), target,
                            lambda made: made["out"]),
               "torchvision", 1.05)
