"""Do small networks need what the dials take away? One seed each."""
import numpy as np
import torch
import torch.nn.functional as F
from bands import row
from torch import nn

from seglib.props import BOAT, CAR, CLASSES
from seglib.scenes import StreetScenes

QUESTION = ("Does a network with a pyramid follow the far towers, and which"
            " levels does it need?")
SEEDS = [0]
TRAIN, TEST, STEPS, BATCH = 500, 100, 300, 16


def conv(i, o, stride=1, size=3):
    return nn.Sequential(
        nn.Conv2d(i, o, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(o), nn.ReLU(True))


class Local(nn.Module):
    """A small encoder that sees 27 pixels around, and pooled branches."""

    def __init__(self, bins):
        super().__init__()
        self.encoder = nn.Sequential(conv(3, 24, 2), conv(24, 48, 2),
                                     conv(48, 48), conv(48, 96, 2),
                                     conv(96, 96), conv(96, 96))
        self.bins = bins
        self.branches = nn.ModuleList(conv(96, 24, size=1) for _ in bins)
        self.head = nn.Sequential(conv(96 + 24 * len(bins), 96, size=1),
                                  nn.Conv2d(96, len(CLASSES), 1))

    def forward(self, x):
        z = self.encoder(x)
        pooled = [F.interpolate(branch(F.adaptive_avg_pool2d(z, b)),
                                z.shape[-2:], mode="bilinear")
                  for b, branch in zip(self.bins, self.branches)]
        y = self.head(torch.cat([z, *pooled], 1))
        return F.interpolate(y, x.shape[-2:], mode="bilinear")


def tensors(scenes):
    samples = list(scenes)
    images = np.stack([s.image for s in samples])
    masks = np.stack([s.mask for s in samples])
    return (torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255 - 0.5,
            torch.as_tensor(masks).long())


def train(bins, seed, images, masks):
    torch.manual_seed(seed)
    net = Local(bins).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    plan = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(
        1, (step + 1) / 20) * (1 - step / STEPS)**0.9)
    for _ in range(STEPS):
        pick = torch.randint(len(images), (BATCH,))
        x = images[pick].to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            y = net(x)
        loss = F.cross_entropy(y.float(), masks[pick], ignore_index=255)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
    return net.eval()


@torch.no_grad()
def predicted(net, images):
    return torch.cat([net(part).argmax(1) for part in images.split(20)])


def right(found, masks):
    """Share of vehicles' pixels, among those called car or boat."""
    said = torch.isin(masks, torch.tensor([CAR, BOAT])) & torch.isin(
        found, torch.tensor([CAR, BOAT]))
    return (found == masks)[said].float().mean().item()


def measure() -> dict:
    rows = []
    torch.set_num_threads(1)
    for sides in (0.0, 1.0):
        world = StreetScenes(TRAIN, seed=1, ambiguity=1, sides=sides)
        test = StreetScenes(TEST, seed=2, ambiguity=1, sides=sides)
        learned, shown = tensors(world), tensors(test)
        flipped, _ = tensors(test.with_(cue="flipped"))
        for bins in ((), (1, 1, 1, 1), (1, 2, 3, 6)):
            net = train(bins, 0, *learned)
            before, after = predicted(net, shown[0]), predicted(net, flipped)
            name = f"bins {', '.join(map(str, bins)) or 'none'}"
            split = f"ambiguity 1, sides {sides:.0f}"
            for metric, value in (
                    ("right about vehicles", right(before, shown[1])),
                    ("right when the caps lie", right(after, shown[1]))):
                rows.append(row(name, "street scenes", split, metric,
                                [value], lambda v: (v[0], v[0], v[0],
                                                    "one seed")))
                print(rows[-1]["method"], split, metric, f"{value:.3f}",
                      flush=True)
    return {"rows": rows, "ladder": [], "seeds": SEEDS}
