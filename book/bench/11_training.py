"""`fit` beside a bare loop; rendering beside training."""
import torch
from bench import Line
from torch.nn import functional as F

from seglib import training
from seglib.display import VOID
from seglib.feeding import as_input
from seglib.scenes import StreetScenes

STEPS, BATCH = 6, 8


def bare(data):
    """The loop of ten lines, as fast as it can be written."""
    images = torch.stack([torch.tensor(s.image) for s in data])
    masks = torch.stack([torch.tensor(s.mask) for s in data]).long()
    model = training.ConvNet(13).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    bf16 = training.best_precision(torch.device("cpu")) == "bf16"
    for step in range(STEPS):
        draw = torch.randint(len(data), (BATCH,))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(as_input(images[draw]))
        loss = F.cross_entropy(logits.float(), masks[draw],
                               ignore_index=VOID)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def whole(data):
    training.fit(training.ConvNet(13), data, steps=STEPS, device="cpu",
                 batch_size=BATCH, progress=False, every=STEPS)


def lines():
    scenes = StreetScenes(32)
    data = list(scenes)
    yield Line("fit, ConvNet, 6 steps of 8 scenes", lambda: whole(data),
               lambda: bare(data), "a bare loop", 1.03)
    yield Line("rendering 8 scenes, 96 x 128",
               lambda: [scenes[i] for i in range(BATCH)],
               lambda: training.fit(training.ConvNet(13), data, steps=1,
                                    batch_size=BATCH, device="cpu"),
               "a training step on them", 1.0)
