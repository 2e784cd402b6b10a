"""Scenes: chapter 10 of the course.

Can we build a world in which every idea of the coming chapters has something to do, and prove that it is that idea that does it?

Exported from 10_scenes.py; edit the chapter, not this file.
"""

import copy
import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from seglib.datasets import Dataset, Sample, find
from seglib.display import VOID
from seglib.light import DAYS, WEATHER, daylight, shade, shine
from seglib.painter import (EYE, MATERIAL, STEP, THING, Stage, box,
                            develop, draw, fill, noise, oval, scatter,
                            solid)
from seglib.props import (AIR, BOAT, BUILDING, CAR, CLASSES, CYCLIST,
                          EARTH, FENCE, LIQUID, MOON, PAINTS, PAVEMENT,
                          PEDESTRIAN, PLAIN, POLE, QUAY, ROAD, ROUND,
                          SIGN, SKY, STONE, THINGS, TREE, WATER, boat,
                          car, houses, shown, stall, tarpaulin, tower)

__all__ = [
    "Plan",
    "Drawn",
    "DIALS",
    "SWITCHES",
    "StreetScenes",
    "Cells",
    "seams",
    "Augment",
]


# Where is the ground?
# --------------------

@njit(cache=True)
def _ground(who, depth, u, v, focal, island, kerb, sunken):
    """Lanes (1, 2), island (3), pavement (4) and quay (5)."""
    rows, columns = who.shape
    for r in range(max(0, v // STEP), rows):
        down = STEP * r + 8 - v
        if down <= 0:
            continue
        for s in range(columns):
            across = STEP * s + 8 - u
            z = min(EYE * focal // down, 400_000)
            x = across * z // focal
            side = 1 if x >= 0 else 0
            part = 4
            if abs(x) < island:
                part = 3
            elif abs(x) < kerb:
                part = 1 + side
                if sunken[side]:
                    z = (EYE + 900) * focal // down
                    x = across * z // focal
                    beyond = abs(x) >= kerb
                    if beyond or abs(x) < island or (x >= 0) != side:
                        edge = kerb if beyond else island
                        z = edge * focal // max(abs(across), 1)
                        part = 5
            who[r, s], depth[r, s] = part, min(z, 400_000)


# What stands on it?
# ------------------

# Kind: least and most, nearest and farthest (mm), from the kerb (mm).
_CROWD = {"tree": (4, 8, 6500, 48_000, 900, 2200),
          "lamp": (3, 5, 8000, 48_000, 250, 450),
          "sign": (1, 2, 7500, 17_000, 300, 800),
          "fence": (1, 2, 7500, 16_000, 200, 500),
          "person": (3, 7, 6500, 32_000, 400, 2400),
          "cyclist": (0, 2, 7500, 22_000, 500, 1600),
          "bin": (0, 1, 7500, 15_000, 400, 1600)}


def _crowd(pick, kerb):
    """Kind, number, x and z of what stands on the pavements."""
    for kind, (least, most, near, far, a, b) in _CROWD.items():
        for i in range(pick(least, most, kind)):
            z = pick(0, 1000, kind, i, "z")
            side = 2 * pick(0, 1, kind, i, "side") - 1
            yield (kind, i, side * (kerb + pick(a, b, kind, i, "x")),
                   near + (far - near) * z * z // 1_000_000)


class Plan(NamedTuple):
    """What chance and the dials decide before anything is drawn.

    Parameters
    ----------
    surfaces : tuple of str
        "road" or "water", on the left and on the right.
    towers : dict from side (-1 or 1) to "road" or "water"
        What the tower there says.
    neutral : bool
        Whether road and water, and what is on them, look alike.
    kerb, wall, island : int
        Where the lanes, the pavements and the island end, in mm.

    Chapter
    -------
    10 Scenes, "What stands on it?".
    """

    surfaces: tuple[str, str]
    towers: dict
    neutral: bool
    kerb: int
    wall: int
    island: int


def _plan(pick, dials):
    names, market = ("road", "water"), dials["scale"] is not None
    left, right, which = (pick(0, 1, "surface", i) for i in range(3))
    two = not market and pick(0, 999, "two") < dials["sides"]
    neutral = not market and (
        pick(0, 999, "neutral") < dials["ambiguity"])
    if not two:
        left = right = 0 if market else left
    towers = {-1: names[left], 1: names[right]}
    if not two:
        del towers[2 * which - 1]
    kerb = pick(4100, 4700, "kerb")
    return Plan((names[left], names[right]), towers, neutral, kerb,
                kerb + pick(3000, 3900, "wall"),
                700 * (neutral or left != right))


def _vehicles(pick, plan):
    """Kind, side, number, x, z of what drives or floats."""
    lane = (plan.kerb + max(plan.island, 500)) // 2
    for side in (-1, 1):
        for i in range(pick(0, 2, "vehicles", side) or 1):
            z = pick(0, 1000, "vehicle", side, i, "z")
            x = side * lane + pick(-350, 350, "vehicle", side, i, "x")
            z = 6000 + 18_000 * z * z // 1_000_000
            yield "vehicle", side, i, x, z


def _stalls(pick, scale):
    """Kind, side, number, x, z of the stalls on a market."""
    for i in range(pick(2, 4, "stalls")):
        z = 3300 + 20 * pick(0, 1000, "stall", i, "z")**2 // 1000
        z = 8000 + (z - 8000) * scale // 1000
        x = pick(-54, 54, "stall", i, "x") - pick(-4, 4, "middle")
        yield "stall", 0, i, x * z // 90, z


# From parts to a sample
# ----------------------

_ASPHALT = EARTH, (108, 114, 120)


def _earth(stage, pick, plan):
    """Sky and ground: the six parts that `_ground` draws."""
    look = {"road": _ASPHALT, "water": _ASPHALT if plan.neutral
            else (LIQUID, (58, 96, 108))}
    label = {"road": ROAD, "water": WATER}
    pale = pick(168, 190, "pavement")
    paving = STONE, (pale, pale - 8, pale - 20), PAVEMENT
    ground = [(AIR, (0, 0, 0), SKY)]
    ground += [(*look[name], label[name]) for name in plan.surfaces]
    ground += [paving, paving, (QUAY, (142, 128, 116), PAVEMENT)]
    for material, colour, of in ground:
        stage.stand(of)
        box(stage, material, colour, 0, 0, 0, 0, seed=7,
            style=plan.island == 0)


def _shadow(stage, x, z, across, lean):
    """A thing's shadow on the ground, in mm."""
    stage.x, stage.z = x + lean, z
    oval(stage, PLAIN, (0, 0, 0), 0, 0, across + abs(lean) // 2,
         EYE * min(across, 900) // z)


def _cast(stage, pick, wall, light, crowd):
    """All shadows: of the roofs if the sun shines, of things always."""
    stage.stand(SKY)
    if light.sunny > 0.3:
        _roof_shadows(stage, pick, wall, light.sun)
    for z, x, kind, *_ in crowd:
        big = kind in ("tree", "vehicle", "stall")
        _shadow(stage, x, z, 1000 if big else 320, -500 * light.sun)


def _roof_shadows(stage, pick, wall, sun):
    reach, x, z = pick(1500, 2 * wall - 2500, "reach"), sun * wall, 1500
    while z < 70_000:
        end = z + pick(4000, 9000, "shadow", z)
        rim = x - sun * (reach + pick(-700, 700, "rim", z))
        solid(stage, PLAIN, (0, 0, 0), (x, 0, z), (x, 0, end),
              (rim, 0, end), (rim, 0, z))
        z = end


def _populate(stage, pick, plan, dials):
    """Everything that stands, far things first; gives their places."""
    todo = [(z, x, kind, 0, i)
            for kind, i, x, z in _crowd(pick, plan.kerb)]
    todo += [(z, x, *who) for *who, x, z in (
        _vehicles(pick, plan) if dials["scale"] is None
        else _stalls(pick, dials["scale"]))]
    for z, x, kind, side, i in sorted(todo, reverse=True):
        if kind in THINGS:
            stage.stand(THINGS[kind][0], x, z)
            THINGS[kind][1](stage, pick, i, dials)
        else:
            _special(stage, pick, plan, dials, kind, side, i, x, z)
    return todo


def _special(stage, pick, plan, dials, kind, side, i, x, z):
    """A stall, or what drives or floats."""
    key = kind, side, i
    colour = PAINTS[pick(0, len(PAINTS) - 1, *key, "colour")]
    if kind == "stall":
        foot = ("plinth", "wheels")[pick(0, 1, *key)]
        stage.stand(CAR if foot == "wheels" else BUILDING, x, z)
        return stall(stage, colour, shown(foot, dials["cue"]))
    road, tall = plan.surfaces[side > 0] == "road", not pick(0, 3, *key)
    stage.stand(CAR if road else BOAT, x, z)
    if plan.neutral:
        tarpaulin(stage, colour)
    elif road:
        car(stage, colour, tall, ahead=side < 0)
    else:
        boat(stage, colour, tall)


def _bonnet(stage, pick, horizon, middle):
    """What the camera sees of its own car: an oval 1 m away."""
    if pick(0, 99, "bonnet") < 40:
        stage.stand(VOID, -11 * middle, 1000)
        low = EYE - 11 * (96 + pick(4, 9, "low") - horizon)
        oval(stage, ROUND, (58, 62, 70), 0, low, 830, 120)


def _far_away(stage, pick, plan, dials, horizon):
    """Moon and towers."""
    stage.stand(SKY, pick(-60_000, 60_000, "moon"), 120_000)
    oval(stage, MOON, (244, 238, 214), 0, 44_000, 2600, 2600)
    for side, says in plan.towers.items():
        tower(stage, pick, side, shown(says, dials["cue"]), horizon)


def _compose(pick, size, dials):
    """All parts of a scene, its shadows and its light."""
    dials["weather"] = dials["weather"] or DAYS[pick(0, 6, "weather")]
    plan = _plan(pick, dials)
    light = daylight(pick, dials["night"] / 1000, dials["weather"])
    view = pick(44, 48, "horizon"), pick(-4, 4, "middle")
    stage, shadows = (Stage(size, *view) for _ in range(2))
    _earth(stage, pick, plan)
    _far_away(stage, pick, plan, dials, view[0])
    houses(stage, pick, plan.wall)
    crowd = _populate(stage, pick, plan, dials)
    _cast(shadows, pick, plan.wall, light, crowd)
    _bonnet(stage, pick, *view)
    return plan, stage, shadows, light


def _paint(plan, stage, shadows, light, seed):
    """Colours, parts, depths of all samples, and each part's thing."""
    shape = 2 * stage.size[0], 2 * stage.size[1]
    who, dark, depth = (np.zeros(shape, np.int32) for _ in range(3))
    view, parts = (stage.u, stage.v, stage.focal), np.array(stage.parts)
    deep = [LIQUID == part[MATERIAL] for part in stage.parts[1:3]]
    some = np.array([shadows.parts[0], *shadows.parts])     # 0: none
    fill(dark, depth, some, stage.u, stage.focal, 1)
    _ground(who, depth, *view, plan.island, plan.kerb, np.array(deep))
    fill(who, depth, parts, stage.u, stage.focal, 6)
    picture = np.empty((*shape, 3), np.float32)
    shade(who, depth, dark, parts, (*view, seed), light, plan.neutral,
          picture)
    if stage.lamps and light.night > 0:
        shine(picture, _places(stage), 0.8 * light.night)
    return picture, who, depth, parts[:, THING].astype(np.int32)


def _places(stage):
    """Lamps on the picture: u, v, radius in samples, and a colour."""
    places = [(*stage.project(x, y, z), stage.focal * far / z, *colour)
              for x, y, z, far, *colour in stage.lamps]
    return np.array(places) / (STEP, STEP, STEP, 1, 1, 1)


_CONFUSED = {POLE: SIGN, SIGN: POLE, PEDESTRIAN: CYCLIST, CAR: BUILDING,
             CYCLIST: PEDESTRIAN, BOAT: CAR, TREE: BUILDING,
             FENCE: PAVEMENT}


def _annotated(labels, pick, careless):
    """A label for each thing, as a careless person gives it."""
    return np.array([
        _CONFUSED.get(label, label)
        if pick(0, 3999, "mistake", i) < careless else label
        for i, label in enumerate(labels)], np.uint8)


@njit(cache=True)
def _shaken(mask, far, cell, seed):
    """Labels fetched from up to about `far` pixels away."""
    out = np.empty_like(mask)
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            dy = (noise(x, y, cell, seed) - 32768) * far // 20000
            dx = (noise(x, y, cell, seed + 1) - 32768) * far // 20000
            out[y, x] = mask[min(max(y + dy, 0), height - 1),
                             min(max(x + dx, 0), width - 1)]
    return out


_COUNTED = np.isin(range(256), (POLE, TREE, SIGN, CAR, PEDESTRIAN,
                                CYCLIST, BOAT))


def _mask(labels, thing, pick, careless):
    """The mask, as annotated, with a rim of VOID."""
    mask = _annotated(labels, pick, careless)[thing]
    height = len(mask)
    if careless:
        mask = _shaken(mask, 1 + careless * height // 48_000,
                       height // 8, pick(0, 9999, "hand"))
    rim = max(1, height // 48)
    mask[:rim] = mask[-rim:] = mask[:, :rim] = mask[:, -rim:] = VOID
    return mask


def _scene(pick, size, dials, name):
    """Image, mask, instances and depth of a street."""
    plan, stage, shadows, light = _compose(pick, size, dials)
    seed, labels = pick(0, 2**20, "grain"), np.array(stage.labels)
    picture, who, depth, owner = _paint(plan, stage, shadows, light,
                                        seed)
    image, seen = develop(picture, who, owner, seed,
                          dials["noise"] / 25)
    thing, metres = owner[who[seen]], depth[seen] / np.float32(1000)
    metres[labels[thing] == SKY] = np.nan
    counted = _COUNTED[labels]
    number = (np.cumsum(counted) * counted).astype(np.int32)
    mask = _mask(labels, thing, pick, dials["label_noise"])
    return Sample(image, mask, name, number[thing], metres, CLASSES)


# A data set that is drawn
# ------------------------

def _share(name, value):
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r};"
                         " needed: a number from 0 to 1")


def _count(name, value, least):
    if not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} is {value!r};"
                         f" needed: an integer, {least} or more")


def _checked_size(size):
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"size is {size!r}; needed: (height, width)")
    for value in size:
        _count("size", value, 32)
    return int(size[0]), int(size[1])


def _named(prefix, low, high, *name):
    return draw(low, high, *prefix, *name)


class _Reading(Dataset):
    """Reading is drawing: `render` does it, on request."""

    def pick(self, name):
        """The scene's chance: `pick(low, high, *name)`."""
        name = find(name, self.names)
        return partial(_named, (self.seed, self.entries[name]))

    def with_(self, size=None, **changes):
        """The same samples with dials, switches or the size changed."""
        other = copy.copy(self)
        other.size = _checked_size(size or self.size)
        other.settings = self.settings | self.checked(changes)
        return other

    def checked(self, changes):
        return _settings(changes, self.dials, self.switches)

    def read(self, name):
        return self.render(self.pick(name), self.size,
                           _thousandths(self.settings), name)


class Drawn(_Reading):
    """Samples that are drawn: pure functions of (seed, index).

    A subclass gives `dials` and `switches` with their defaults, and
    `render(pick, size, settings, name)`.

    Chapter
    -------
    10 Scenes, "A data set that is drawn".
    """

    dials: dict = {}
    switches: dict = {}
    terms, citation = "CC BY 4.0", "made by chapter 10 of the course"

    def __init__(self, n, size, seed, settings):
        _count("n", n, 0)
        _count("seed", seed, 0)
        super().__init__({f"{self.name} {i:06}": i for i in range(n)})
        self.size, self.seed = _checked_size(size), int(seed)
        first = {name: some[0] for name, some in self.switches.items()}
        self.settings = self.dials | first | self.checked(settings)

    def read_image(self, name):
        return self.read(name).image

    def read_mask(self, name):
        return self.read(name).mask


def _settings(changes, dials, switches):
    """Changes of dials and switches that are known to be right."""
    for name, value in changes.items():
        if name not in dials and name not in switches:
            raise ValueError(f"{name!r} is no dial; needed: one of"
                             f" {[*dials, *switches]}")
        if name in switches and value not in switches[name]:
            raise ValueError(f"{name} is {value!r};"
                             f" needed: one of {switches[name]}")
        if name in dials and (value, dials[name]) != (None, None):
            _share(name, value)
    return changes


def _thousandths(settings):
    return {k: round(1000 * v) if isinstance(v, (int, float)) else v
            for k, v in settings.items()}


#: Dials of `StreetScenes`: numbers from 0 to 1, and their defaults.
DIALS = {"thin": 0.9, "ambiguity": 0.0, "sides": 0.5, "scale": None,
         "ragged": 0.5, "night": 0.0, "noise": 0.1, "label_noise": 0.0}
#: Switches of `StreetScenes`: what they can be; the default first.
SWITCHES = {"cue": ("shown", "flipped", "removed"),
            "weather": (None, *WEATHER)}


class StreetScenes(Drawn):
    """A town: every scene a pure function of (seed, index).

    A sequence of `Sample` objects, by position, name or slice, each
    drawn when it is asked for. The same scene in another size shows the
    same things, larger.

    Parameters
    ----------
    n : int
        How many scenes.
    size : (height, width)
        In pixels, 32 or more each. The height decides how large things
        appear, the width how far one looks around.
    seed : int
    thin : float
        1: poles and fences as thin as they are; 0: none is narrower
        than a tenth of the picture's height.
    ambiguity : float
        Share of neutral scenes: only the caps of far towers tell road
        from water, and car from boat.
    sides : float
        Share of scenes with two towers, each of which speaks for its
        own side of the street; in the others one speaks for both.
    scale : float, optional
        If given: a market of stalls instead of vehicles. Only their
        feet tell vans (car) from kiosks (building); all appear in one
        size (0), or the largest seven times the smallest (1).
    ragged : float
        How ragged the outlines of the trees are.
    night : float
        0: day, 0.5: dusk, 1: night.
    noise : float
        Grain of the camera; 1: a standard deviation of 40 grey values.
    label_noise : float
        Carelessness of the annotator: shifted outlines, wrong classes.
    cue : "shown", "flipped" or "removed"
        What caps and feet say: the truth, the contrary, or nothing.
        The masks stay as they are.
    weather : "clear", "cloudy", "rain" or "fog", optional
        By default each scene has its own. In rain umbrellas go up.

    Attributes
    ----------
    settings : dict
        All dials and switches.

    Raises
    ------
    ValueError
        If an argument is not as said.

    Examples
    --------
    >>> scenes = StreetScenes(1000, seed=3)
    >>> scenes[7].mask.shape, scenes[7].classes[:3]
    ((96, 128), ('sky', 'building', 'pole'))
    >>> foggy = scenes[:10].with_(weather="fog")
    >>> len(foggy), foggy.settings["weather"]
    (10, 'fog')

    Chapter
    -------
    10 Scenes, "A data set that is drawn".
    """

    name, classes, dials, switches = "scene", CLASSES, DIALS, SWITCHES
    render = staticmethod(_scene)

    def __init__(self, n, size=(96, 128), seed=0, **settings):
        super().__init__(n, size, seed, settings)

    def plan(self, name) -> Plan:
        """What chance and the dials decide for a scene."""
        return _plan(self.pick(name), _thousandths(self.settings))


# A second world: cells
# ---------------------

_COMPASS = ((10, 0), (9, 5), (5, 9), (0, 10), (-5, 9), (-9, 5),
            (-10, 0), (-9, -5), (-5, -9), (0, -10), (5, -9), (9, -5))


def _nuclei(pick, size, touching):
    """Nuclei as rows: y, x, half axes (1/16 pixel), and a direction."""
    placed = []
    for i in range(max(2, size[0] * size[1] * pick(12, 18) // 16384)):
        long = pick(7 * 16, 11 * 16, i, "long")
        short = long * pick(65, 95, i, "short") // 100
        for trial in range(12):
            y, x, least = _spot(pick, size, touching, placed, i, trial,
                                long)
            if all((y - b)**2 + (x - a)**2 > (
                    least * (long + r) // 100)**2
                   for b, a, r, *_ in placed):
                placed.append((y, x, long, short,
                               *_COMPASS[pick(0, 11, i, "turn")]))
                break
    return np.array(placed)


def _spot(pick, size, touching, placed, i, trial, long):
    """Where a nucleus may go, and how close it may come to others."""
    if placed and pick(0, 1099, i, "touch") < touching:
        y, x, far, *_ = placed[pick(0, len(placed) - 1, i, trial, "to")]
        down, right = _COMPASS[pick(0, 11, i, trial)]
        step = (long + far) * 72
        return y + down * step // 1000, x + right * step // 1000, 65
    y, x = (pick(0, 16 * side, i, trial, axis)
            for side, axis in zip(size, "yx"))
    return y, x, 125


@njit(cache=True)
def _grow(nuclei, instances, inner, seed):
    """Number each pixel by the nucleus in which it lies deepest."""
    height, width = instances.shape
    inner[:] = 2**20
    for i in range(len(nuclei)):
        y, x, long, short, p, q = nuclei[i]
        far = long * 5 // 4
        for r in range(max(0, (y - far) // 16),
                       min(height, (y + far) // 16 + 1)):
            for s in range(max(0, (x - far) // 16),
                           min(width, (x + far) // 16 + 1)):
                dy, dx = 16 * r + 8 - y, 16 * s + 8 - x
                u = (p * dx + q * dy) * 1024 // (10 * long)
                v = (p * dy - q * dx) * 1024 // (10 * short)
                rough = noise(r, s, 9, seed + i) - 32768
                e = u * u + v * v + 6 * rough
                if e < inner[r, s]:
                    inner[r, s], instances[r, s] = e, i + 1


@njit(cache=True)
def _poisson(expected, seed):
    """Photons that arrive where `expected` are expected, (H, W)."""
    counts = np.zeros(expected.shape, np.int64)
    height, width = expected.shape
    for y in range(height):
        for x in range(width):
            left, part = expected[y, x], 0
            while left > 0:             # a sum of Poissons is a Poisson
                mean = min(left, 300.0)
                u = (scatter(x, y, seed + part) + 0.5) / 65536
                chance = total = math.exp(-mean)
                k = 0
                while total < u and k < 2000:
                    k += 1
                    chance *= mean / k
                    total += chance
                counts[y, x] += k
                left, part = left - mean, part + 1
    return counts


def _slide(pick, size, dials, name):
    """A slide of nuclei: focus, photons, and who is who."""
    nuclei = _nuclei(pick, size, dials["touching"])
    instances, inner = (np.zeros(size, t) for t in (np.int32, np.int64))
    seed = pick(0, 2**20, "seed")
    _grow(nuclei, instances, inner, seed)
    bright = np.array([0] + [pick(90, 210, i, "bright")
                             for i in range(len(nuclei))])
    light = 14 + bright[instances] * (1 - 0.45 * inner / 2**20)
    light = gaussian_filter(light, 3 * dials["blur"] / 1000)
    if dials["noise"]:
        photons = 20_000 / dials["noise"] / 255     # per grey value
        light = _poisson(light * photons, seed) / photons
    image = np.clip(light + 0.5, 0, 255).astype(np.uint8)
    return Sample(image, (instances > 0).astype(np.uint8), name,
                  instances, None, Cells.classes)


class Cells(Drawn):
    """Nuclei under a microscope: bright, touching, blurred, grainy.

    A sequence of `Sample` objects with grey images, like `StreetScenes`
    a pure function of (seed, index).

    Parameters
    ----------
    n : int
    size : (height, width)
        In pixels, 32 or more each.
    seed : int
    touching : float
        How many nuclei are placed against another one; 0: none touch.
    blur : float
        How far out of focus; 1 is a Gaussian of 3 pixels.
    noise : float
        0: none; else Poisson noise, 20 / noise photons for white.

    Raises
    ------
    ValueError
        If an argument is not as said.

    Examples
    --------
    >>> Cells(5, touching=1)[0].classes
    ('ground', 'nucleus')

    Chapter
    -------
    10 Scenes, "A second world: cells".
    """

    name, classes = "cells", ("ground", "nucleus")
    dials = {"touching": 0.5, "blur": 0.3, "noise": 0.2}
    render = staticmethod(_slide)

    def __init__(self, n, size=(128, 128), seed=0, **settings):
        super().__init__(n, size, seed, settings)


def seams(instances: np.ndarray, width: int = 1) -> np.ndarray:
    """Pixels of objects at most `width` from a pixel of another one.

    Parameters
    ----------
    instances : (H, W) integer array
        Objects numbered from 1; 0 belongs to none.
    width : int
        In pixels, in row or column.

    Returns
    -------
    (H, W) bool array

    Examples
    --------
    >>> seams(np.array([[0, 1, 1, 2, 2, 0]])).astype(int)
    array([[0, 0, 1, 1, 0, 0]])

    Chapter
    -------
    10 Scenes, "A second world: cells".
    """
    seam = np.zeros(instances.shape, dtype=bool)
    for a, s in (instances, seam), (instances.T, seam.T):
        for k in range(1, width + 1):
            meet = (a[k:] != a[:-k]) & (a[k:] > 0) & (a[:-k] > 0)
            s[k:] |= meet
            s[:-k] |= meet
    return seam


# Moving image and mask together
# ------------------------------

class Augment:
    """Random flips, turns, zooms and colours, for image and mask alike.

    Every image of a batch gets transforms of its own, on the device on
    which it is. Masks are never interpolated; what comes in from
    outside the image is VOID.

    Parameters
    ----------
    flip : float
        Probability of a mirror image, left to right.
    turn : float
        Largest rotation, degrees.
    zoom : (float, float)
        Least and largest magnification.
    shift : float
        Largest shift, as a share of height and width.
    colour : float
        Largest change of brightness, contrast and saturation; 0: none.

    Notes
    -----
    torchvision's transforms v2; `torch.manual_seed` makes them repeat.

    Chapter
    -------
    10 Scenes, "Moving image and mask together".
    """

    def __init__(self, flip=0.5, turn=5.0, zoom=(0.8, 1.25), shift=0.1,
                 colour=0.2):
        from torchvision import tv_tensors
        from torchvision.transforms import v2
        self.kinds = tv_tensors.Image, tv_tensors.Mask
        steps = [v2.RandomHorizontalFlip(flip), v2.RandomAffine(
            turn, (shift, shift), zoom, fill=dict(zip(self.kinds,
                                                      (0, VOID))),
            interpolation=v2.InterpolationMode.BILINEAR)]
        if colour:
            steps.append(v2.ColorJitter(colour, colour, colour))
        self.transform = v2.Compose(steps)

    def __call__(self, images, masks):
        return _pairwise(self.transform, self.kinds, images, masks)


def _pairwise(transform, kinds, images, masks):
    """Images (N, C, H, W), masks (N, H, W): each pair transformed."""
    import torch
    if images.shape[:1] + images.shape[2:] != masks.shape:
        raise ValueError(
            f"masks are {tuple(masks.shape)}, images"
            f" {tuple(images.shape)}; needed: N×H×W and N×C×H×W")
    image, mask = kinds
    pairs = [transform(image(i), mask(m))
             for i, m in zip(images, masks)]
    plain = torch.Tensor
    return tuple(torch.stack([one.as_subclass(plain) for one in kind])
                 for kind in zip(*pairs))
