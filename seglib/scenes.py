"""Scenes: chapter 10 of the course.

Can we build a world in which each idea of the coming chapters has something to do, and prove it?

Exported from 10_scenes.py; edit the chapter, not this file.
"""

import copy
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit

from seglib.datasets import Dataset, Sample, find
from seglib.display import VOID
from seglib.painter import (BLUE, DEPTH, EYE, GREEN, LEFT, MATERIAL,
                            PLANE, RED, RIGHT, SEED, STEP, STYLE, THING,
                            TOP, BOTTOM, Stage, box, develop, draw, fill,
                            noise, oval, polygon, scatter, solid)

__all__ = [
    "CLASSES",
    "Plan",
    "Light",
    "DIALS",
    "SWITCHES",
    "StreetScenes",
]


#: Labels 0, 1, … of a street: CamVid's eleven, and two for canals.
CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign",
           "fence", "car", "pedestrian", "cyclist", "water", "boat")
(SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN,
 CYCLIST, WATER, BOAT) = range(13)
_COUNTED = np.isin(range(256), (POLE, TREE, SIGN, CAR, PEDESTRIAN,
                                CYCLIST, BOAT))


# What parts are made of: how light treats them.
(AIR, EARTH, STONE, LIQUID, QUAY, WALL, FACE, TILES, LEAVES, PLAIN,
 ROUND, GLASS, GLOW, MOON) = range(14)


# Ground
# ------

@njit(cache=True)
def _ground(who, depth, u, v, focal, edges, sunken):
    """Road, canal, median, quay and pavement below the horizon."""
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
            if abs(x) < edges[0]:
                part = 3
            elif abs(x) < edges[1]:
                part = 1 + side
                if sunken[side]:
                    z = (EYE + 900) * focal // down
                    x = across * z // focal
                    far = abs(x) >= edges[1]
                    if far or (1 if x >= 0 else 0) != side or (
                            abs(x) < edges[0]):
                        z = abs(edges[1 if far else 0] * focal // max(abs(across), 1))
                        part = 5
            who[r, s], depth[r, s] = part, min(z, 400_000)


# Houses
# ------

_FACADES = ((201, 120, 88), (226, 196, 150), (214, 160, 120),
            (233, 219, 190), (176, 92, 76), (188, 196, 178),
            (222, 176, 166), (172, 186, 200), (205, 176, 110),
            (150, 98, 82))
_ROOFS = (150, 84, 66), (120, 78, 72), (96, 92, 102), (164, 100, 74)
_SHADES = (196, 74, 60), (60, 110, 116), (214, 168, 74), (86, 98, 140)


def _house(stage, pick, side, wall, z0, z1):
    """Facade, gable end and roof of a house along the street."""
    key = "house", side, z0
    stage.stand(BUILDING, 0, z0)
    height = pick(5400, 9000, *key, "h")
    style = pick(0, 7, *key, "s") + 16 * pick(0, 1, *key, "shutters")
    colour = _FACADES[pick(0, len(_FACADES) - 1, *key, "c")]
    roof = _ROOFS[pick(0, 3, *key, "r")]
    seed, x, z1 = pick(0, 9999, *key), side * wall, z1 - 60
    top, peak = pick(1400, 2600, *key, "t"), (z0 + z1) // 2
    wall = partial(solid, stage, WALL, colour, plane=x, seed=seed,
                   style=style)
    if style & 1:
        _gabled(stage, wall, colour, roof, x, side, height, top, z0, z1)
    else:
        _eaved(stage, wall, colour, roof, x, side, height, top, z0, z1)
    if style & 4 and z0 < 40_000:
        _awning(stage, _SHADES[seed % 4], x, side, z0, z1)


def _gabled(stage, wall, colour, roof, x, side, h, top, z0, z1):
    back, middle = x + 7000 * side, (z0 + z1) // 2
    solid(stage, TILES, roof, (x, h, z0), (x, h + top, middle),
          (back, h + top, middle), (back, h, z0))
    solid(stage, FACE, colour, (x, 0, z0), (back, 0, z0), (back, h, z0),
          (x, h, z0), style=8)
    wall((x, 0, z0), (x, 0, z1), (x, h, z1), (x, h + top, middle),
         (x, h, z0))


def _eaved(stage, wall, colour, roof, x, side, h, top, z0, z1):
    ridge, back = x + 4000 * side, x + 8000 * side
    solid(stage, TILES, roof, (x, h, z0), (x, h, z1),
          (ridge, h + top, z1), (ridge, h + top, z0))
    wall((x, 0, z0), (x, 0, z1), (x, h, z1), (x, h, z0))
    solid(stage, FACE, colour, (x, 0, z0), (back, 0, z0), (back, h, z0),
          (ridge, h + top, z0), (x, h, z0), style=8)
    stage.x = x + 3000 * side
    box(stage, PLAIN, roof, -350, h + top // 2, 350, h + top + 700)


def _awning(stage, colour, x, side, z0, z1):
    stripes = range(z0 + 300, z1 - 700, 700)
    for i, z in enumerate(reversed(stripes)):
        shade = colour if i % 2 else (238, 230, 214)
        out = x - 1000 * side
        solid(stage, PLAIN, shade, (x, 3000, z), (x, 3000, z + 700),
              (out, 2350, z + 700), (out, 2350, z))


def _houses(stage, pick, wall):
    """Two rows of houses, the farthest first; what closes the street."""
    plots = []
    for side in (-1, 1):
        z = pick(-4000, 2000, "row", side)
        while z < 62_000:
            length = pick(4600, 9500, "plot", side, z)
            if pick(0, 99, "gap", side, z) >= 10:
                plots.append((max(z, 1500), z + length, side))
            z += length
    _vista(stage, pick, wall)
    for z0, z1, side in sorted(plots, reverse=True):
        if z1 > 2500:
            _house(stage, pick, side, wall, z0, z1)


def _vista(stage, pick, wall):
    for i in range(7):
        z = pick(66_000, 84_000, "far", i)
        stage.stand(BUILDING, (i - 3) * 5000 + pick(-900, 900, "fx", i), z)
        h, w = pick(5000, 9500, "fh", i), pick(2300, 3400, "fw", i)
        colour = _FACADES[pick(0, len(_FACADES) - 1, "fc", i)]
        roof = _ROOFS[pick(0, 3, "fr", i)]
        polygon(stage, TILES, roof, (-w, h), (w, h), (w // 2, h + 2200),
                (-w // 2, h + 2200))
        box(stage, FACE, colour, -w, 0, w, h, seed=pick(0, 999, "fs", i))


# Towers
# ------

_STONE = 176, 164, 150
_CAPS = {"road": (64, 78, 132), "water": (236, 186, 44), "none": _STONE}


def _tower(stage, pick, side, cap, horizon):
    """A tower 90 m away; only the colour of its cap says something."""
    x = side * pick(11_000, 22_000, "tower", side)
    top = EYE + 1000 * (horizon - pick(13, 15, "cap", side))
    w = pick(2300, 2800, "width", side)
    stage.stand(BUILDING, x, 90_000)
    box(stage, FACE, _STONE, -w, 0, w, top, seed=side + 7, style=8)
    box(stage, PLAIN, (196, 186, 170), -w - 500, top - 900, w + 500, top)
    oval(stage, PLAIN, (238, 232, 214), 0, top - 4200, 1500, 1500)
    colour = _CAPS[cap]
    box(stage, PLAIN, colour, -w, top, w, top + 1800)
    oval(stage, ROUND, colour, 0, top + 3300, w + 900, 3000)
    polygon(stage, PLAIN, colour, (-700, top + 5600), (700, top + 5600),
            (0, top + 9500))


# Trees, lamps, fences
# --------------------

_SEASONS = (((96, 146, 70), (74, 124, 66), (126, 158, 76), (88, 134, 92)),
            ((208, 138, 58), (190, 98, 54), (222, 172, 74), (122, 140, 70)),
            ((238, 190, 196), (112, 156, 84), (134, 172, 92), (246, 218, 216)))


def _tree(stage, pick, i, ragged):
    key = "tree", i
    leaves = _SEASONS[pick(0, 2, "season")][pick(0, 3, *key, "c")]
    w, up = pick(1300, 2100, *key, "w"), pick(4200, 5600, *key, "h")
    if tall := pick(0, 3, *key, "tall") == 0:
        w, up = w * 6 // 10, up + 500
    box(stage, ROUND, (104, 80, 66), -150, 0, 150, up - w // 2)
    oval(stage, LEAVES, leaves, 0, up - w // 4,
         w, w * (2 if tall else 1) * pick(85, 115, *key, "r") // 100,
         seed=pick(0, 9999, *key, "seed"), swell=ragged)


def _thick(width, z, thin):
    """A pole's width in mm: at thin = 0 no less than 10 pixels."""
    return max(width, (1000 - thin) * z // 9000)


def _lamp(stage, pick, i, thin, lamps):
    w = _thick(120, stage.z, thin) // 2
    h, reach = pick(5200, 6400, "lamp", i, "h"), 1000
    iron = 74, 84, 84
    out = -reach if stage.x > 0 else reach
    box(stage, ROUND, iron, -w, 0, w, h)
    box(stage, PLAIN, iron, min(out, 0) - w, h, max(out, 0) + w,
        h + 2 * w)
    box(stage, GLOW, (250, 226, 170), out - 260 - w, h - 240,
        out + 260 + w, h)
    lamps.append((stage.x + out, h - 150, stage.z, 1500, 250, 186, 104))


def _sign(stage, pick, i, thin):
    w, h = _thick(90, stage.z, thin) // 2, pick(2200, 2700, "sign", i)
    box(stage, ROUND, (150, 154, 156), -w, 0, w, h)
    colour = ((196, 52, 46), (44, 84, 170), (232, 178, 40))[
        pick(0, 2, "sign", i, "c")]
    r = max(w * 14 // 10, pick(330, 420, "sign", i, "r"))
    stage.stand(SIGN, stage.x, stage.z)
    oval(stage, PLAIN, colour, 0, h, r, r)
    oval(stage, PLAIN, (240, 238, 228), 0, h, r * 6 // 10, r * 6 // 10)


def _fence(stage, pick, i, thin):
    """Bars and rails; at thin = 0 the bars close up to a wall."""
    colour = ((206, 200, 186), (96, 78, 66), (62, 84, 84))[
        pick(0, 2, "fence", i)]
    gap, bars = 300, pick(6, 11, "fence", i, "n")
    bar = gap - thin * (gap - 40) // 1000
    rail = 500 - thin * 440 // 1000
    side = 1 if stage.x > 0 else -1
    for b in range(bars):
        x = side * b * gap
        box(stage, PLAIN, colour, x, 0, x + bar, 1050)
    ends = sorted((0, side * (bars - 1) * gap))
    for y in (1000 - rail, 150):
        box(stage, PLAIN, colour, ends[0], y, ends[1] + bar, y + rail)


# Vehicles
# --------

_PAINTS = ((178, 52, 44), (54, 92, 150), (228, 226, 218), (70, 74, 82),
           (214, 164, 62), (92, 138, 108), (120, 168, 190), (226, 120, 70))


def _car(stage, colour, tall, ahead, lamps):
    """A car or van from behind, or (ahead) from in front."""
    roof, dark = 1950 if tall else 1450, (40, 42, 46)
    for x in (-800, 480):
        box(stage, PLAIN, dark, x, 0, x + 320, 400)
    box(stage, PLAIN, dark, -800, 180, 800, 420)
    box(stage, ROUND, colour, -900, 300, 900, 920)
    polygon(stage, ROUND, colour, (-870, 880), (870, 880),
            (660, roof), (-660, roof))
    polygon(stage, GLASS, (96, 116, 132), (-740, 960), (740, 960),
            (580, roof - 110), (-580, roof - 110))
    lit = (250, 244, 214) if ahead else (214, 48, 40)
    for x in (-830, 520):
        box(stage, GLOW, lit, x, 600, x + 310, 790)
    box(stage, PLAIN, (226, 222, 204), -260, 460, 260, 600)
    if ahead:
        lamps += [(stage.x + x, 700, stage.z, 600, 250, 230, 180)
                  for x in (-680, 680)]


def _boat(stage, colour, tall):
    """A canal boat, low in the water, with a cabin or a canopy."""
    deep = 900
    polygon(stage, ROUND, colour, (-700, -deep), (700, -deep),
            (1050, 620 - deep), (-1050, 620 - deep))
    box(stage, PLAIN, (240, 234, 218), -1080, 560 - deep, 1080, 680 - deep)
    roof = 1900 if tall else 1450
    box(stage, ROUND, (232, 222, 198), -620, 680 - deep, 620, roof - deep)
    box(stage, GLASS, (96, 116, 132), -500, 950 - deep, 500,
        roof - 180 - deep)
    box(stage, PLAIN, colour, -720, roof - deep, 720, roof + 140 - deep)


def _tarpaulin(stage, colour):
    """Something under a sheet: one look for a car and for a boat."""
    polygon(stage, ROUND, colour, (-960, 420), (960, 420), (560, 1300),
            (-560, 1300))
    dark = tuple(7 * c // 10 for c in colour)
    box(stage, ROUND, dark, -960, 0, 960, 430)


def _stall(stage, colour, foot):
    """A stall with an awning: only its foot tells a van from a kiosk."""
    box(stage, PLAIN, colour, -900, 450, 900, 1900)
    box(stage, GLASS, (70, 60, 56), -650, 950, 650, 1500)
    for i in range(6):
        shade = colour if i % 2 else (240, 234, 220)
        box(stage, PLAIN, shade, 320 * i - 960, 1500, 320 * i - 640, 1950)
    ground = {"wheels": (62, 62, 66), "plinth": (190, 178, 156),
              "none": colour}[foot]
    box(stage, PLAIN, ground, -900, 0, 900, 450)
    for x in (-500, 500) * (foot == "wheels"):
        oval(stage, PLAIN, (24, 24, 26), x, 220, 220, 220)


# People
# ------

_COATS = ((196, 80, 66), (70, 98, 146), (226, 190, 110), (92, 110, 84),
          (150, 96, 130), (60, 62, 74), (222, 214, 200), (216, 128, 84))
_SKINS = (240, 204, 176), (214, 168, 132), (160, 112, 84), (112, 78, 60)


def _person(stage, pick, key, rain):
    h = pick(1150, 1850, *key, "h")
    coat, legs = (_COATS[pick(0, 7, *key, c)] for c in "cl")
    skin, stride = _SKINS[pick(0, 3, *key, "s")], pick(0, 160, *key, "g")
    for x in (-1, 1):
        polygon(stage, ROUND, tuple(c * 6 // 10 for c in legs),
                (x * stride - 70, 0), (x * stride + 90, 0),
                (x * 70 + 90, h // 2), (x * 70 - 90, h // 2))
    polygon(stage, ROUND, coat, (-230, h * 4 // 10), (230, h * 4 // 10),
            (190, h * 84 // 100), (-190, h * 84 // 100))
    oval(stage, ROUND, skin, 0, h * 92 // 100, 120, 145)
    oval(stage, PLAIN, (70, 54, 46), 0, h * 95 // 100, 125, 110, cut=1)
    if rain:
        oval(stage, ROUND, _COATS[pick(0, 7, *key, "u")], 0, h + 60,
             620, 380, cut=1)


def _cyclist(stage, pick, key):
    coat = _COATS[pick(0, 7, *key, "c")]
    skin = _SKINS[pick(0, 3, *key, "s")]
    for x in (-520, 520):
        oval(stage, PLAIN, (44, 44, 48), x, 340, 340, 340, hole=800)
    box(stage, PLAIN, (168, 60, 52), -480, 560, 430, 640)
    polygon(stage, PLAIN, (60, 64, 88), (-30, 260), (110, 260),
            (30, 950), (-190, 950))
    polygon(stage, ROUND, coat, (-240, 880), (60, 880), (330, 1440),
            (60, 1480))
    polygon(stage, ROUND, coat, (260, 1180), (520, 920), (560, 990),
            (300, 1380))
    oval(stage, ROUND, skin, 260, 1600, 130, 150)
    oval(stage, PLAIN, coat, 260, 1640, 150, 130, cut=1)


# What stands where?
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
    """What a scene's chance and dials decide before anything is drawn.

    Parameters
    ----------
    surfaces : tuple of str
        "road" or "water", on the left and on the right.
    towers : dict from side (-1 or 1) to "road" or "water"
        What the cap of the tower there says.
    neutral : bool
        Whether surfaces and vehicles look alike.
    kerb, wall, island : int
        Where road, pavement and the strip between the sides end, mm.

    Chapter
    -------
    10 Scenes, "What stands where?".
    """

    surfaces: tuple[str, str]
    towers: dict
    neutral: bool
    kerb: int
    wall: int
    island: int


def _plan(pick, dials):
    names = "road", "water"
    left, right, which = (pick(0, 1, "surface", i) for i in range(3))
    market = dials["scale"] is not None
    two = pick(0, 999, "two") < dials["sides"]
    if market or not two:
        left = right = left * (not market)
    towers = {-1: names[left], 1: names[right]}
    if not two:
        del towers[2 * which - 1]
    neutral = not market and (
        pick(0, 999, "neutral") < dials["ambiguity"])
    kerb = pick(4100, 4700, "kerb")
    return Plan((names[left], names[right]), towers, neutral, kerb,
                kerb + pick(3000, 3900, "wall"),
                700 * (neutral or left != right))


def _vehicles(pick, plan):
    """Side, number, x and z of what drives or floats."""
    lane = (plan.kerb + max(plan.island, 500)) // 2
    for side in (-1, 1):
        for i in range(pick(0, 2, "vehicles", side) or 1):
            z = pick(0, 1000, "vehicle", side, i, "z")
            yield (side, i, side * lane + pick(-350, 350, "vehicle", side,
                                               i, "x"),
                   4800 + 19_000 * z * z // 1_000_000)


def _stalls(pick, scale):
    """Number, x and z of the stalls of a market."""
    for i in range(pick(2, 4, "stalls")):
        z = 3300 + 20_000 * pick(0, 1000, "stall", i, "z")**2 // 10**6
        z = 8000 + (z - 8000) * scale // 1000
        x = pick(-54, 54, "stall", i, "x") - pick(-4, 4, "middle")
        yield i, x * z // 90, z


# Light
# -----

# Top of the sky, horizon, haze, wetness, clouds, sun.
_WEATHER = {
    "clear": ((88, 150, 212), (218, 230, 232), 0.003, 0.0, 0.5, 1.0),
    "cloudy": ((140, 160, 184), (222, 224, 222), 0.004, 0.0, 1.0, 0.35),
    "rain": ((112, 124, 142), (182, 190, 196), 0.008, 0.6, 1.0, 0.0),
    "fog": ((190, 198, 204), (216, 219, 218), 0.022, 0.2, 0.2, 0.0)}
_DAYS = ("clear",) * 3 + ("cloudy",) * 2 + ("rain", "fog")
_DUSK = (70, 84, 140), (244, 176, 128), (0.80, 0.66, 0.66)
_NIGHT = (16, 24, 54), (52, 58, 96), (0.24, 0.29, 0.46)


class Light(NamedTuple):
    """Colours of the sky (2, 3) and of the light (3), and the weather.

    Chapter
    -------
    10 Scenes, "Light".
    """

    sky: np.ndarray
    tint: np.ndarray
    night: float
    sun: int
    sunny: float
    haze: float
    wet: float
    clouds: float


def _light(pick, night, weather):
    night = night / 1000
    top, low, haze, wet, clouds, sunny = _WEATHER[weather]
    warm = pick(0, 1000, "hour") / 1000 * sunny
    day = np.array([top, low, (255, 255, 255)], float)
    day += warm * np.array([(12, -8, -30), (30, -6, -50), (10, -8, -34)])
    dusk, dark = (np.array([*stop[:2], [255 * t for t in stop[2]]])
                  for stop in (_DUSK, _NIGHT))
    near = 2 * min(night, 1 - night)
    base = day if night < 0.5 else dark
    colours = (base + near * (dusk - base)).astype(np.float32)
    return Light(colours[:2], colours[2] / np.float32(255), night,
                 2 * pick(0, 1, "sun") - 1,
                 sunny * max(0.0, 1 - 1.6 * night), haze, wet, clouds)


@njit(cache=True)
def _sky(u, v, focal, t, seed, light):
    """Colour of the air, `t` of the way down to the horizon."""
    r = light.sky[0, 0] + (light.sky[1, 0] - light.sky[0, 0]) * t
    g = light.sky[0, 1] + (light.sky[1, 1] - light.sky[0, 1]) * t
    b = light.sky[0, 2] + (light.sky[1, 2] - light.sky[0, 2]) * t
    if light.night > 0.6 and scatter(u // 12, v // 12, seed) < 160:
        glow = 130 * (light.night - 0.6) * (1 - t)
        r, g, b = r + 3 * glow, g + 3 * glow, b + 2.6 * glow
    far = 4000 * focal // (focal // 6 - min(v, 0))
    x = u * far // focal
    cloud = (2 * noise(x, 2 * far, 3000, seed)
             + noise(x, 2 * far, 1000, seed + 1)) / 196605
    cloud = min(max((cloud - 0.68 + 0.2 * light.clouds) * 3.5, 0), 1)
    cloud *= 0.9 - 0.7 * t * t
    shine = 1.06 * light.sky[1, 0], light.sky[1, 1], light.sky[1, 2]
    return (r + (shine[0] - r) * cloud, g + (shine[1] - g) * cloud,
            b + (shine[2] - b) * cloud)


@njit(cache=True)
def _wall(u, v, z, part, r, g, b, night):
    """Windows, doors, shops: colour of a wall, and what it glows."""
    seed, style = part[SEED], part[STYLE]
    pitch, storey = 1700 + seed % 7 * 130, 2600 + seed % 5 * 110
    i, j = u // pitch, v // storey
    fu, fv = (u - i * pitch) * 1000 // pitch, (v - j * storey) * 1000 // storey
    chance = scatter(i, j, seed)
    grain = (noise(u, 2 * v, 300, seed) / 65535 - 0.5) * 0.10
    k = 1 + grain - 0.10 * (v < 350)
    r, g, b = r * k, g * k, b * k
    if style & 8:
        return r * 0.86, g * 0.86, b * 0.88, 0.0
    shop = style & 4 and j == 0
    if shop and fv > 800:
        return 60.0 + chance % 120, 70.0 + chance % 50, 90.0, 0.0
    wide, low, high = (60, 140, 780) if shop else (290, 270, 760)
    if j == 0 and not shop and chance % 4 == 0:
        if 300 < fu < 700 and fv < 780:
            return 70 + chance % 80, 66 + chance % 40, 60.0, 0.0
        return r, g, b, 0.0
    if wide < fu < 1000 - wide and low < fv < high:
        edge = min(fu - wide, 1000 - wide - fu, fv - low, high - fv)
        if edge < 45 or (abs(fu - 500) < 22 and not shop):
            return 226.0, 220.0, 206.0, 0.0
        if chance % 100 < 55 * night or (shop and night > 0.3):
            return 255.0, 204 + chance % 24, 122.0, min(1, 2 * night)
        sheen = 0.35 * (fv - low) / (high - low)
        return 62 + 90 * sheen, 78 + 100 * sheen, 96 + 110 * sheen, 0.0
    if style & 16 and not shop and 150 < fu < 850 and low < fv < high:
        return r * 0.55, g * 0.75, b * 0.78, 0.0
    return r, g, b, 0.0


@njit(cache=True)
def _matter(u, x, y, z, part, light, neutral):
    """Colour of what a part is made of, and how much it glows."""
    kind, seed = part[MATERIAL], part[SEED]
    r, g, b = float(part[RED]), float(part[GREEN]), float(part[BLUE])
    k, glow = 1.0, 0.0
    fine = min(1.0, 12_000 / z)
    if kind == EARTH:
        k = 1 + fine * 0.16 * (noise(x, z, 160, seed) / 65535 - 0.5)
        k += 0.05 * (noise(x, z // 4, 1500, seed + 1) / 65535 - 0.5)
        if part[STYLE] and abs(x) < 80 and z % 5000 < 2400:
            r, g, b = 226.0, 222.0, 208.0
    elif kind == STONE:
        i, j = x // 600, z // 600
        k = 1 + fine * 0.12 * (scatter(i, j, seed) / 65535 - 0.5)
        k += 0.08 * (noise(x, z, 1500, seed) / 65535 - 0.5)
        if z < 14_000 and (x - i * 600 < 40 or z - j * 600 < 40):
            k -= 0.10
    elif kind == QUAY:
        i, j = z // 900, y // 300
        k = 1 + 0.2 * (scatter(i, j, seed) / 65535 - 0.5)
    elif kind == WALL:
        r, g, b, glow = _wall(z, y, z, part, r, g, b, light.night)
        k = 1.02 if part[PLANE] * light.sun < 0 else 0.90
        k = k if glow > 0 else k * (1 - 0.12 * light.sunny * (k < 1))
    elif kind == FACE:
        r, g, b, glow = _wall(x, y, z, part, r, g, b, light.night)
        k = 0.94
    elif kind == TILES:
        k = 0.9 + 0.2 * scatter(x // 300 + z // 300, y // 160, seed) / 65535
    elif kind == LEAVES:
        dx = 2 * (u - part[LEFT]) / (part[RIGHT] - part[LEFT]) - 1
        k = 0.72 + 0.46 * noise(x, y, 420, seed) / 65535
        k += 0.2 * light.sun * light.sunny * dx + 0.00008 * (y - 4500)
    elif kind == ROUND:
        dx = 2 * (u - part[LEFT]) / (part[RIGHT] - part[LEFT] + 1) - 1
        k = 1.04 - 0.22 * dx * dx + 0.14 * light.sun * light.sunny * dx
    elif kind == GLOW or kind == MOON:
        glow = light.night
    return r * k, g * k, b * k, glow


@njit(cache=True)
def _shade(who, depth, dark, parts, stage, light, neutral, picture):
    """Colours of all samples, from the sky down to our feet."""
    u0, v0, focal, seed = stage
    rows, columns = who.shape
    level = min(max(v0 // STEP, 1), rows - 1)
    for r in range(rows):
        v = STEP * r + 8 - v0
        for s in range(columns):
            u, p, z = STEP * s + 8 - u0, who[r, s], depth[r, s]
            part = parts[p]
            if part[MATERIAL] == AIR or (
                    part[MATERIAL] == MOON and light.night < 0.4):
                t = min(max(1 + v / v0, 0), 1)
                picture[r, s] = _sky(u, v, focal, t * t, seed, light)
                continue
            x, y = u * z // focal, EYE - v * z // focal
            kind = part[MATERIAL]
            red, green, blue, glow = _matter(
                STEP * s + 8, x, y, z, part, light, neutral)
            if dark[r, s] > 0 and (kind == EARTH or kind == STONE):
                k = 1 - 0.4 * max(light.sunny, 0.4)
                red, green, blue = red * k, green * k, blue * (k + 0.04)
            shine = 0.62 if kind == LIQUID else 0.0
            if (kind == EARTH or kind == STONE) and not neutral:
                shine = light.wet * 0.5
            mist = 1 - 1 / (1 + light.haze * z / 1000)
            lit = (1 - glow) * light.tint + glow
            if shine > 0:
                shift = noise(x, z, 500 + z // 60, seed) - 32768
                up = 2 * level - r + shift * 14 * rows // 192 // 65536
                up = min(max(up, 0), level)
                side = s + (noise(x, z // 2, 300, seed + 5) - 32768) // 20000
                side = min(max(side, 0), columns - 1)
            for c in range(3):
                value = (red, green, blue)[c] * lit[c]
                if shine > 0:
                    value += shine * (picture[up, side, c] - value)
                fog = mist * (1 - 0.7 * glow)
                value += fog * (light.sky[1, c] - value)
                picture[r, s, c] = value


@njit(cache=True)
def _shine(picture, lamps, strength):
    """Add the glow of lamps: u, v, radius (samples), and a colour."""
    rows, columns = picture.shape[:2]
    for n in range(len(lamps)):
        u, v, radius = int(lamps[n, 0]), int(lamps[n, 1]), lamps[n, 2]
        reach = int(3 * radius) + 1
        for r in range(max(0, v - reach), min(rows, v + reach + 1)):
            for s in range(max(0, u - reach), min(columns, u + reach + 1)):
                near = ((r - v)**2 + (s - u)**2) / (radius * radius)
                if near < 9:
                    k = strength * (1 - near / 9)**2 / (1 + 3 * near)
                    for c in range(3):
                        room = 255 - min(picture[r, s, c], 255)
                        picture[r, s, c] += (
                            k * lamps[n, 3 + c] * room / 255)


# A scene
# -------

_EARTH, _WATER = (EARTH, (108, 114, 120)), (LIQUID, (58, 96, 108))


def _earth(stage, pick, plan):
    """Sky and ground: the six parts that `_ground` draws."""
    look = {"road": _EARTH, "water": _EARTH if plan.neutral else _WATER}
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


def _house_shadows(stage, pick, wall, sun):
    reach, x, z = pick(1500, 2 * wall - 2500, "reach"), sun * wall, 1500
    while z < 70_000:
        end = z + pick(4000, 9000, "shadow", z)
        rim = x - sun * (reach + pick(-700, 700, "rim", z))
        solid(stage, PLAIN, (0, 0, 0), (x, 0, z), (x, 0, end),
              (rim, 0, end), (rim, 0, z))
        z = end


def _thing(stage, pick, dials, kind, i, lamps, rain):
    """One of the things on the pavements."""
    if kind == "tree":
        _tree(stage, pick, i, dials["ragged"])
    elif kind == "lamp":
        _lamp(stage, pick, i, dials["thin"], lamps)
    elif kind == "sign":
        _sign(stage, pick, i, dials["thin"])
    elif kind == "fence":
        _fence(stage, pick, i, dials["thin"])
    elif kind == "person":
        _person(stage, pick, ("person", i), rain)
    elif kind == "cyclist":
        _cyclist(stage, pick, ("cyclist", i))
    else:
        box(stage, ROUND, (70, 104, 84), -280, 0, 280, 950)
        box(stage, PLAIN, (52, 80, 66), -320, 900, 320, 1030)


_LABEL = {"tree": TREE, "lamp": POLE, "sign": POLE, "fence": FENCE,
          "person": PEDESTRIAN, "cyclist": CYCLIST, "bin": VOID}


def _vehicle(stage, pick, plan, side, i, x, z, lamps):
    surface = plan.surfaces[side > 0]
    stage.stand(CAR if surface == "road" else BOAT, x, z)
    key = "vehicle", side, i
    colour = _PAINTS[pick(0, 7, *key, "c")]
    tall = pick(0, 3, *key, "tall") == 0
    if plan.neutral:
        _tarpaulin(stage, colour)
    elif surface == "road":
        _car(stage, colour, tall, side < 0, lamps)
    else:
        _boat(stage, colour, tall)


def _shown(says, cue):
    """What a cue shows: its message, the other one, or nothing."""
    other = {"road": "water", "water": "road", "wheels": "plinth",
             "plinth": "wheels"}
    return {"shown": says, "flipped": other[says], "removed": "none"}[cue]


def _populate(stage, shadows, pick, plan, dials, sun, rain):
    """Everything that stands, far things first; gives the lamps."""
    lamps, todo = [], [(z, x, kind, 0, i)
                       for kind, i, x, z in _crowd(pick, plan.kerb)]
    if dials["scale"] is None:
        todo += [(z, x, "vehicle", *who)
                 for *who, x, z in _vehicles(pick, plan)]
    else:
        todo += [(z, x, "stall", 0, i)
                 for i, x, z in _stalls(pick, dials["scale"])]
    for z, x, kind, side, i in sorted(todo, reverse=True):
        big = kind in ("tree", "vehicle", "stall")
        _shadow(shadows, x, z, 1000 if big else 320, -500 * sun)
        if kind == "vehicle":
            _vehicle(stage, pick, plan, side, i, x, z, lamps)
        elif kind == "stall":
            foot = ("plinth", "wheels")[pick(0, 1, "stall", i)]
            stage.stand(CAR if foot == "wheels" else BUILDING, x, z)
            _stall(stage, _PAINTS[pick(0, 7, "stall", i, "c")],
                   _shown(foot, dials["cue"]))
        else:
            stage.stand(_LABEL[kind], x, z)
            _thing(stage, pick, dials, kind, i, lamps, rain)
    return lamps


def _bonnet(stage, pick, horizon, middle):
    """What the camera sees of its own car: an oval 1 m away."""
    if pick(0, 99, "bonnet") < 40:
        stage.stand(VOID, -11 * middle, 1000)
        low = EYE - 11 * (96 + pick(4, 9, "low") - horizon)
        oval(stage, ROUND, (58, 62, 70), 0, low, 830, 120)


def _compose(pick, size, dials):
    """All parts of a scene, its shadows, its light and its lamps."""
    plan = _plan(pick, dials)
    horizon, middle = pick(44, 48, "horizon"), pick(-4, 4, "middle")
    stage, shadows = (Stage(size, horizon, middle) for _ in range(2))
    weather = dials["weather"] or _DAYS[pick(0, 6, "weather")]
    light = _light(pick, dials["night"], weather)
    _earth(stage, pick, plan)
    stage.stand(SKY, pick(-60_000, 60_000, "moon"), 120_000)
    oval(stage, MOON, (244, 238, 214), 0, 44_000, 2600, 2600)
    for side, says in plan.towers.items():
        _tower(stage, pick, side, _shown(says, dials["cue"]), horizon)
    _houses(stage, pick, plan.wall)
    shadows.stand(SKY)
    box(shadows, PLAIN, (0, 0, 0), 0, 0, 0, 0)      # part 0: no shadow
    if light.sunny > 0.3:
        _house_shadows(shadows, pick, plan.wall, light.sun)
    lamps = _populate(stage, shadows, pick, plan, dials, light.sun,
                      weather == "rain")
    _bonnet(stage, pick, horizon, middle)
    return plan, stage, shadows, light, lamps


def _paint(plan, stage, shadows, light, lamps, seed):
    """Colours, parts and depths of all samples."""
    shape = 2 * stage.size[0], 2 * stage.size[1]
    who, dark, depth = (np.zeros(shape, np.int32) for _ in range(3))
    view, parts = (stage.u, stage.v, stage.focal), np.array(stage.parts)
    sunken = np.array([name == "water" and not plan.neutral
                       for name in plan.surfaces])
    fill(dark, depth, np.array(shadows.parts), stage.u, stage.focal, 1)
    _ground(who, depth, *view, np.array((plan.island, plan.kerb)), sunken)
    fill(who, depth, parts, stage.u, stage.focal, 6)
    picture = np.empty((*shape, 3), np.float32)
    _shade(who, depth, dark, parts, (*view, seed), light, plan.neutral,
           picture)
    if lamps and light.night > 0:
        _shine(picture, _places(stage, lamps), 0.8 * light.night)
    return picture, who, depth, parts[:, THING].astype(np.int32)


def _places(stage, lamps):
    """Lamps on the picture: u, v, radius, in samples, and a colour."""
    places = [(*stage.project(x, y, z), stage.focal * radius / z, *colour)
              for x, y, z, radius, *colour in lamps]
    return np.array(places) / (STEP, STEP, STEP, 1, 1, 1)


_CONFUSED = {POLE: SIGN, SIGN: POLE, PEDESTRIAN: CYCLIST, CAR: BUILDING,
             CYCLIST: PEDESTRIAN, BOAT: CAR, TREE: BUILDING,
             FENCE: PAVEMENT}


def _annotated(labels, pick, careless):
    """A careless person's label for each thing (`careless` in ‰)."""
    return np.array([
        _CONFUSED.get(label, label)
        if pick(0, 3999, "mistake", i) < careless else label
        for i, label in enumerate(labels)], np.uint8)


@njit(cache=True)
def _wobble(mask, far, cell, seed):
    """Labels fetched from up to `far` pixels away: a shaky hand."""
    out = np.empty_like(mask)
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            dy = (noise(x, y, cell, seed) - 32768) * far // 20000
            dx = (noise(x, y, cell, seed + 1) - 32768) * far // 20000
            out[y, x] = mask[min(max(y + dy, 0), height - 1),
                             min(max(x + dx, 0), width - 1)]
    return out


def _sample(pick, size, dials, name):
    """Image, mask, instances and depth of a scene."""
    composed = _compose(pick, size, dials)
    seed, labels = pick(0, 2**20, "grain"), composed[1].labels
    picture, who, depth, owner = _paint(*composed, seed)
    image, winner = np.empty((*size, 3), np.uint8), np.empty(size, np.int32)
    develop(picture, who, owner, seed, 40 * dials["noise"] / 1000, image,
            winner)
    rows, columns = np.indices(size)
    seen = 2 * rows + winner // 2, 2 * columns + winner % 2
    thing, metres = owner[who[seen]], depth[seen] / np.float32(1000)
    label = np.array(labels, np.uint8)[thing]
    metres = np.where(label == SKY, np.float32(np.nan), metres)
    mask = _annotated(labels, pick, dials["label_noise"])[thing]
    if dials["label_noise"]:
        mask = _wobble(mask, max(1, dials["label_noise"] * size[0] // 32000),
                       size[0] // 8, seed)
    rim = max(1, size[0] // 48)
    mask[:rim] = mask[-rim:] = mask[:, :rim] = mask[:, -rim:] = VOID
    counted = _COUNTED[labels]
    number = (np.cumsum(counted) * counted).astype(np.int32)
    return Sample(image, mask, name, number[thing], metres, CLASSES)


#: Dials of `StreetScenes` and their defaults: numbers from 0 to 1.
DIALS = {"thin": 0.9, "ambiguity": 0.0, "sides": 0.5, "scale": None,
         "ragged": 0.5, "night": 0.0, "noise": 0.1, "label_noise": 0.0}
#: Switches of `StreetScenes`: what they may be set to, the default first.
SWITCHES = {"cue": ("shown", "flipped", "removed"),
            "weather": (None, "clear", "cloudy", "rain", "fog")}


def _settings(changes):
    """Dials and switches, once it is known that they are right."""
    for name, value in changes.items():
        if name not in DIALS and name not in SWITCHES:
            raise ValueError(f"{name!r} is no dial; needed: one of"
                             f" {[*DIALS, *SWITCHES]}")
        allowed = SWITCHES.get(name, (DIALS.get(name),))
        number = (name in DIALS and isinstance(value, (int, float))
                  and 0 <= value <= 1)
        if not number and value not in allowed:
            raise ValueError(f"{name} is {value!r}; needed: " + (
                f"one of {allowed}" if name in SWITCHES
                else "a number from 0 to 1"))
    return changes


class StreetScenes(Dataset):
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
        1: poles and fences as thin as they are; 0: none of them is
        narrower than 10 pixels of a picture 96 high.
    ambiguity : float
        Share of scenes in which road and canal, and what is on them,
        look alike; only the caps of far towers tell them apart.
    sides : float
        Share of scenes with two towers, each of which speaks for its
        own half of the street; in the others one speaks for both.
    scale : float, optional
        If given: a market of stalls instead of vehicles. Their feet
        tell vans from kiosks; sizes are all alike (0) or vary by
        seven (1).
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
        By default each scene has its own.

    Attributes
    ----------
    settings : dict
        All dials and switches.

    Raises
    ------
    ValueError
        If an argument is not as said; the message names it.

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
    10 Scenes, "A scene".
    """

    name, terms = "street scenes", "CC BY 4.0"
    citation = "made by chapter 10 of the course"
    classes = CLASSES

    def __init__(self, n, size=(96, 128), seed=0, **settings):
        _count("n", n, 0)
        _count("seed", seed, 0)
        super().__init__({f"scene-{i:06}": i for i in range(n)})
        self.size, self.seed = _checked_size(size), int(seed)
        self.settings = (DIALS | {k: v[0] for k, v in SWITCHES.items()}
                         | _settings(settings))

    def with_(self, **changes):
        """The same scenes with some dials, switches or the size changed.

        Nothing else changes: every random number has a name.
        """
        other = copy.copy(self)
        other.size = _checked_size(changes.pop("size", self.size))
        other.settings = self.settings | _settings(changes)
        return other

    def _pick(self, name):
        return partial(_named, (self.seed, self.entries[name]))

    def plan(self, name) -> Plan:
        """What chance and the dials decided for a scene."""
        name = find(name, self.names)
        return _plan(self._pick(name), _in_thousandths(self.settings))

    def read(self, name):
        return _sample(self._pick(name), self.size,
                       _in_thousandths(self.settings), name)

    def read_image(self, name):
        return self.read(name).image

    def read_mask(self, name):
        return self.read(name).mask


def _named(prefix, low, high, *name):
    return draw(low, high, *prefix, *name)


def _in_thousandths(settings):
    return {k: round(1000 * v) if isinstance(v, (int, float)) else v
            for k, v in settings.items()}


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
