"""Image segmentation, from a threshold to deep networks.

Every module but this one and `__main__` is exported from a chapter of the
course. Importing the package imports nothing else.
"""
import importlib

__version__ = "0.1.0"

# Names by which the command line finds models and data sets. A string is
# imported only when it is asked for.
REGISTRY = {
    "dataset": {
        "bsds500": "seglib.datasets:BSDS500",
        "camvid": "seglib.datasets:CamVid",
        "cells": "seglib.scenes:Cells",
        "cityscapes": "seglib.datasets:Cityscapes",
        "documents": "seglib.datasets:Documents",
        "grabcut50": "seglib.datasets:GrabCut50",
        "horses": "seglib.datasets:Horses",
        "isbi2012": "seglib.datasets:ISBI2012",
        "nuclei": "seglib.datasets:Nuclei",
        "pascalvoc": "seglib.datasets:PascalVOC",
        "pennfudan": "seglib.datasets:PennFudan",
        "pets": "seglib.datasets:Pets",
        "samplepictures": "seglib.datasets:SamplePictures",
        "scenes": "seglib.scenes:StreetScenes",
    },
    "model": {
        "convnet": "seglib.training:ConvNet",
        "deconvnet": "seglib.segnet:DeconvNet",
        "fcn16s": "seglib.fcn:FCN16s",
        "fcn32s": "seglib.fcn:FCN32s",
        "fcn8s": "seglib.fcn:FCN8s",
        "fcn_resnet50": "seglib.fcn:fcn_resnet50",
        "fcn_squeezenet": "seglib.fcn:fcn_squeezenet",
        "pixel": "seglib.training:PixelClassifier",
        "segnet": "seglib.segnet:SegNet",
        "unet": "seglib.unet:UNet",
    },
}


def resolve(kind: str, name: str):
    """The class registered under a name, for instance ("dataset", "camvid").

    Raises
    ------
    ValueError
        If `kind` or `name` is not registered; the message lists what is.
    """
    if kind not in REGISTRY:
        raise ValueError(f"kind is {kind!r}; needed: one of {list(REGISTRY)}")
    if name not in REGISTRY[kind]:
        raise ValueError(f"{kind} is {name!r}; needed: one of"
                         f" {sorted(REGISTRY[kind])}")
    module, _, attribute = REGISTRY[kind][name].partition(":")
    return getattr(importlib.import_module(module), attribute)
