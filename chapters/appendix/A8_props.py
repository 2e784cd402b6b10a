# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   seglib:
#     minutes:
#       gpu: 0.1
#       laptop: 0.1
#     module: props
#     place: 9.6
# ---

# %% [markdown]
# # Things of cardboard
#
# *What is a street made of, in polygons and ovals?*
#
# **You will be able to** add a thing of your own to the town of
# chapter 10: a dozen lines, most of them numbers.
#
# **You need** the painter (A7).
#
# **Exports** `CLASSES`, `THINGS`, `houses`, `tower`, `tree`, `lamp`,
# `sign`, `fence`, `person`, `cyclist`, `litter_bin`, `car`, `boat`,
# `tarpaulin`, `stall`, `shown`.

# %% tags=["export"]
from functools import partial

from seglib.display import VOID
from seglib.painter import EYE, box, oval, polygon, solid

# %%
import numpy as np

from seglib.display import paint, show
from seglib.painter import Stage, draw, fill

# %% [markdown]
# ## Labels and materials
#
# A *label* says what a thing is, and goes into the mask. A *material*
# says how light treats a part, and matters only in chapter 10. Lengths
# are millimetres, colours red, green and blue from 0 to 255.

# %% tags=["export"]
#: Labels 0, 1, … of a street: CamVid's eleven, and two for canals.
CLASSES = ("sky", "building", "pole", "road", "pavement", "tree",
           "sign", "fence", "car", "pedestrian", "cyclist", "water",
           "boat")
(SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR,
 PEDESTRIAN, CYCLIST, WATER, BOAT) = range(13)
(AIR, EARTH, STONE, LIQUID, QUAY, WALL, FACE, TILES, LEAVES, PLAIN,
 ROUND, GLASS, GLOW, MOON) = range(14)

# %% [markdown]
# Every function below asks for its random numbers by name: `pick(low,
# high, *name)` is `draw` with the scene's seed and number put before
# the name.

# %% [markdown]
# ## Houses
#
# A house is a facade that runs away from us, a gable end that looks at
# us, and a roof between them. Far houses come first, near ones cover
# them. Some turn their gable to the street.

# %% tags=["export"]
_FACADES = ((201, 120, 88), (226, 196, 150), (214, 160, 120),
            (233, 219, 190), (176, 92, 76), (188, 196, 178),
            (222, 176, 166), (172, 186, 200), (205, 176, 110),
            (150, 98, 82))
_ROOFS = (150, 84, 66), (120, 78, 72), (96, 92, 102), (164, 100, 74)
_SHADES = (196, 74, 60), (60, 110, 116), (214, 168, 74), (86, 98, 140)
GABLED, SHOP, BARE, SHUTTERS = 1, 4, 8, 16              # styles


def _one_of(colours, pick, *name):
    return colours[pick(0, len(colours) - 1, *name)]

# %% tags=["export"]
def _house(stage, pick, side, x, z0, z1):
    """A house along the street, whose facade stands at `x`."""
    key = "house", side, z0
    stage.stand(BUILDING, 0, z0)
    height = pick(5400, 9000, *key, "h")
    top = pick(1400, 2600, *key, "t")
    style = pick(0, 7, *key, "s") + SHUTTERS * pick(0, 1, *key, "c")
    colour, roof = (_one_of(c, pick, *key, k) for k, c in (
        ("wall", _FACADES), ("roof", _ROOFS)))
    wall = partial(solid, stage, WALL, colour, plane=x, style=style,
                   seed=pick(0, 9999, *key))
    build = _gabled if style & GABLED else _eaved
    build(stage, wall, colour, roof, x, side, height, top, z0, z1 - 60)
    if style & SHOP and z0 < 40_000:
        _awning(stage, _one_of(_SHADES, pick, *key), x, side, z0, z1)

# %% tags=["export"]
def _gabled(stage, wall, colour, roof, x, side, h, top, z0, z1):
    back, middle = x + 7000 * side, (z0 + z1) // 2
    solid(stage, TILES, roof, (x, h, z0), (x, h + top, middle),
          (back, h + top, middle), (back, h, z0))
    solid(stage, FACE, colour, (x, 0, z0), (back, 0, z0), (back, h, z0),
          (x, h, z0), style=BARE)
    wall((x, 0, z0), (x, 0, z1), (x, h, z1), (x, h + top, middle),
         (x, h, z0))

# %% tags=["export"]
def _eaved(stage, wall, colour, roof, x, side, h, top, z0, z1):
    ridge, back = x + 4000 * side, x + 8000 * side
    solid(stage, TILES, roof, (x, h, z0), (x, h, z1),
          (ridge, h + top, z1), (ridge, h + top, z0))
    wall((x, 0, z0), (x, 0, z1), (x, h, z1), (x, h, z0))
    solid(stage, FACE, colour, (x, 0, z0), (back, 0, z0), (back, h, z0),
          (ridge, h + top, z0), (x, h, z0), style=BARE)
    stage.x = x + 3000 * side
    box(stage, PLAIN, roof, -350, h + top // 2, 350, h + top + 700)


def _awning(stage, colour, x, side, z0, z1):
    for z in reversed(range(z0 + 300, z1 - 700, 700)):
        shade = colour if (z - z0) % 1400 < 700 else (238, 230, 214)
        out = x - 1000 * side
        solid(stage, PLAIN, shade, (x, 3000, z), (x, 3000, z + 700),
              (out, 2350, z + 700), (out, 2350, z))

# %% tags=["export"]
def houses(stage, pick, wall):
    """What closes the street far away, and two rows of houses."""
    plots = []
    for side in (-1, 1):
        z = pick(-4000, 2000, "row", side)
        while z < 62_000:
            length = pick(4600, 9500, "plot", side, z)
            if pick(0, 99, "gap", side, z) >= 10 and z + length > 2500:
                plots.append((max(z, 1500), z + length, side))
            z += length
    for i in range(7):
        _far_house(stage, pick, i)
    for z0, z1, side in sorted(plots, reverse=True):
        _house(stage, pick, side, side * wall, z0, z1)

# %% tags=["export"]
def _far_house(stage, pick, i):
    x = 5000 * (i - 3) + pick(-900, 900, "far", i)
    stage.stand(BUILDING, x, pick(66_000, 84_000, "far", i, "z"))
    h = pick(5000, 9500, "far", i, "h")
    w = pick(2300, 3400, "far", i, "w")
    polygon(stage, TILES, _one_of(_ROOFS, pick, "far", i, "r"),
            (-w, h), (w, h), (w // 2, h + 2200), (-w // 2, h + 2200))
    box(stage, FACE, _one_of(_FACADES, pick, "far", i, "c"), -w, 0, w,
        h, seed=pick(0, 999, "far", i, "s"))

# %% [markdown]
# ## Towers, and what they say
#
# Ninety metres away, where a pixel of a picture of 96 rows is a metre,
# stands a tower. Its cap has one outline and three colours: slate says
# *road*, gold says *water*, bare stone says nothing. Because the
# outline is one, no mask changes with the message.

# %% tags=["export"]
_STONE = 176, 164, 150
_CAPS = {"road": (64, 78, 132), "water": (236, 186, 44), "none": _STONE}


def tower(stage, pick, side, says, horizon):
    """A tower on the left (-1) or right; `says` is its cap's colour."""
    top = EYE + 1000 * (horizon - pick(13, 15, "cap", side))
    w, colour = pick(2300, 2800, "width", side), _CAPS[says]
    stage.stand(BUILDING, side * pick(11_000, 22_000, "tower", side),
                90_000)
    box(stage, FACE, _STONE, -w, 0, w, top, seed=side + 7, style=BARE)
    box(stage, PLAIN, (196, 186, 170), -w - 500, top - 900, w + 500,
        top)
    oval(stage, PLAIN, (238, 232, 214), 0, top - 4200, 1500, 1500)
    box(stage, PLAIN, colour, -w, top, w, top + 1800)
    oval(stage, ROUND, colour, 0, top + 3300, w + 900, 3000)
    polygon(stage, PLAIN, colour, (-700, top + 5600), (700, top + 5600),
            (0, top + 9500))

# %% tags=["export"]
def shown(says: str, cue: str) -> str:
    """What a cue shows: its message, the contrary, or "none"."""
    other = {"road": "water", "water": "road", "wheels": "plinth",
             "plinth": "wheels"}
    return {"shown": says, "flipped": other[says],
            "removed": "none"}[cue]

# %% [markdown]
# ## Trees
#
# One season for the whole street. `ragged` (0 to 1000) goes into the
# oval's `swell`.

# %% tags=["export"]
_GREEN = (96, 146, 70), (74, 124, 66), (126, 158, 76), (88, 134, 92)
_AUTUMN = (208, 138, 58), (190, 98, 54), (222, 172, 74), (122, 140, 70)
_SPRING = ((238, 190, 196), (112, 156, 84), (134, 172, 92),
           (246, 218, 216))


def tree(stage, pick, i, dials):
    """A round tree or a tall one."""
    season = _one_of((_GREEN, _AUTUMN, _SPRING), pick, "season")
    leaves = _one_of(season, pick, "tree", i, "leaves")
    w = pick(1300, 2100, "tree", i)
    up = pick(4200, 5600, "tree", i, "up")
    tall = pick(0, 3, "tree", i, "tall") == 0
    w, up = (w * 6 // 10, up + 500) if tall else (w, up)
    high = w * (1 + tall) * pick(85, 115, "tree", i, "high") // 100
    box(stage, ROUND, (104, 80, 66), -150, 0, 150, up - w // 2)
    oval(stage, LEAVES, leaves, 0, up - w // 4, w, high,
         seed=pick(0, 9999, "tree", i, "rim"), swell=dials["ragged"])

# %% [markdown]
# ## Thin things
#
# How thin they may be is a dial. A width in millimetres alone would
# leave far poles thin whatever the dial says; so at `thin` = 0 a width
# is at least that of ten pixels *where the pole stands*. Lamp-posts
# become towers of concrete, a fence's bars close up to a wall. It is
# not pretty, but it is a real zero.

# %% tags=["export"]
def _thick(width, z, dials):
    """A width in mm, and no less than the dial allows."""
    return max(width, (1000 - dials["thin"]) * z // 9000)


def lamp(stage, pick, i, dials):
    """A street lamp that leans out over the street."""
    w, iron = _thick(120, stage.z, dials) // 2, (74, 84, 84)
    h, out = pick(5200, 6400, "lamp", i), 1000
    out = -out if stage.x > 0 else out
    box(stage, ROUND, iron, -w, 0, w, h)
    box(stage, PLAIN, iron, min(out, 0) - w, h, max(out, 0) + w,
        h + 2 * w)
    box(stage, GLOW, (250, 226, 170), out - 260 - w, h - 240,
        out + 260 + w, h)
    stage.shine(out, h - 150, 1500, (250, 186, 104))

# %% tags=["export"]
_SIGNS = (196, 52, 46), (44, 84, 170), (232, 178, 40)


def sign(stage, pick, i, dials):
    """A round sign; its post is a pole, its disc a thing of its own."""
    w, h = _thick(90, stage.z, dials) // 2, pick(2200, 2700, "sign", i)
    box(stage, ROUND, (150, 154, 156), -w, 0, w, h)
    r = max(w * 14 // 10, pick(330, 420, "sign", i, "r"))
    stage.stand(SIGN, stage.x, stage.z)
    colour = _one_of(_SIGNS, pick, "sign", i, "c")
    oval(stage, PLAIN, colour, 0, h, r, r)
    oval(stage, PLAIN, (240, 238, 228), 0, h, r * 6 // 10, r * 6 // 10)

# %% tags=["export"]
_IRON = (206, 200, 186), (96, 78, 66), (62, 84, 84)


def fence(stage, pick, i, dials):
    """Bars and two rails, away from the street."""
    colour, gap = _one_of(_IRON, pick, "fence", i), 300
    bar = gap - dials["thin"] * (gap - 40) // 1000
    rail = 500 - dials["thin"] * 440 // 1000
    side = 1 if stage.x > 0 else -1
    bars = [side * b * gap for b in range(pick(6, 11, "fence", i, "n"))]
    for x in bars:
        box(stage, PLAIN, colour, x, 0, x + bar, 1050)
    for y in (1000 - rail, 150):
        box(stage, PLAIN, colour, min(bars), y, max(bars) + bar,
            y + rail)

# %% [markdown]
# ## People

# %% tags=["export"]
_COATS = ((196, 80, 66), (70, 98, 146), (226, 190, 110), (92, 110, 84),
          (150, 96, 130), (60, 62, 74), (222, 214, 200), (216, 128, 84))


_SKINS = (240, 204, 176), (214, 168, 132), (160, 112, 84), (112, 78, 60)


def person(stage, pick, i, dials):
    """Somebody, large or small; under an umbrella if it rains."""
    h, stride = pick(1150, 1850, "h", i), pick(0, 160, "stride", i)
    coat, legs, umbrella = (_one_of(_COATS, pick, i, c) for c in "clu")
    for x in (-1, 1):
        polygon(stage, ROUND, tuple(c * 6 // 10 for c in legs),
                (x * stride - 70, 0), (x * stride + 90, 0),
                (x * 70 + 90, h // 2), (x * 70 - 90, h // 2))
    polygon(stage, ROUND, coat, (-230, h * 4 // 10), (230, h * 4 // 10),
            (190, h * 84 // 100), (-190, h * 84 // 100))
    _head(stage, pick, i, 0, h * 92 // 100, (70, 54, 46))
    if dials["weather"] == "rain":
        oval(stage, ROUND, umbrella, 0, h + 60, 620, 380, cut=1)

# %% tags=["export"]
def _head(stage, pick, i, x, y, hair):
    skin = _one_of(_SKINS, pick, i, "skin")
    oval(stage, ROUND, skin, x, y, 120, 145)
    oval(stage, PLAIN, hair, x, y + 50, 130, 110, cut=1)

# %% tags=["export"]
def cyclist(stage, pick, i, dials):
    """Two rings, a rider, and a helmet in the colour of the coat."""
    coat = _one_of(_COATS, pick, "cyclist", i)
    for x in (-520, 520):
        oval(stage, PLAIN, (44, 44, 48), x, 340, 340, 340, hole=800)
    box(stage, PLAIN, (168, 60, 52), -480, 560, 430, 640)
    polygon(stage, PLAIN, (60, 64, 88), (-30, 260), (110, 260),
            (30, 950), (-190, 950))
    polygon(stage, ROUND, coat, (-240, 880), (60, 880), (330, 1440),
            (60, 1480))
    polygon(stage, ROUND, coat, (260, 1180), (520, 920), (560, 990),
            (300, 1380))
    _head(stage, pick, ("cyclist", i), 260, 1600, coat)


def litter_bin(stage, pick, i, dials):
    """A bin: none of the classes, and therefore VOID."""
    box(stage, ROUND, (70, 104, 84), -280, 0, 280, 950)
    box(stage, PLAIN, (52, 80, 66), -320, 900, 320, 1030)

# %% tags=["export"]
#: What stands on a pavement: its label, and the function that draws it.
THINGS = {"tree": (TREE, tree), "lamp": (POLE, lamp),
          "sign": (POLE, sign), "fence": (FENCE, fence),
          "person": (PEDESTRIAN, person), "cyclist": (CYCLIST, cyclist),
          "bin": (VOID, litter_bin)}

# %% [markdown]
# ## What drives, floats or sells
#
# A car and a boat are easily told apart. Under a `tarpaulin` they are
# not: one look for both. And a `stall` has wheels, or a plinth, and
# above them nothing that would tell a van from a kiosk.

# %% tags=["export"]
PAINTS = ((178, 52, 44), (54, 92, 150), (228, 226, 218), (70, 74, 82),
          (214, 164, 62), (92, 138, 108), (120, 168, 190),
          (226, 120, 70))


_DARK, _WINDOW, _LIT = (40, 42, 46), (96, 116, 132), (250, 236, 196)

# %% tags=["export"]
def car(stage, colour, tall, ahead):
    """A car or a van from behind or, `ahead`, from in front."""
    roof, lit = 1950 if tall else 1450, (214, 48, 40)
    for x in (-800, 480):
        box(stage, PLAIN, _DARK, x, 0, x + 320, 400)
    box(stage, ROUND, colour, -900, 250, 900, 920)
    polygon(stage, ROUND, colour, (-870, 880), (870, 880),
            (660, roof), (-660, roof))
    polygon(stage, GLASS, _WINDOW, (-740, 960), (740, 960),
            (580, roof - 110), (-580, roof - 110))
    box(stage, PLAIN, (226, 222, 204), -260, 460, 260, 600)
    for x in (-680, 680):
        box(stage, GLOW, _LIT if ahead else lit, x - 150, 600, x + 150,
            790)
        if ahead:
            stage.shine(x, 700, 600, _LIT)

# %% tags=["export"]
def boat(stage, colour, tall):
    """A canal boat; the water is 0.9 m below the street."""
    deep, roof, cream = 900, 1000 if tall else 550, (240, 234, 218)
    polygon(stage, ROUND, colour, (-700, -deep), (700, -deep),
            (1050, -280), (-1050, -280))
    box(stage, PLAIN, cream, -1080, -340, 1080, -220)
    box(stage, ROUND, (232, 222, 198), -620, -220, 620, roof)
    box(stage, GLASS, _WINDOW, -500, 50, 500, roof - 180)
    box(stage, PLAIN, colour, -720, roof, 720, roof + 140)


def tarpaulin(stage, colour):
    """Something under a sheet: one look for a car and for a boat."""
    polygon(stage, ROUND, colour, (-960, 420), (960, 420), (560, 1300),
            (-560, 1300))
    box(stage, ROUND, tuple(7 * c // 10 for c in colour), -960, 0, 960,
        430)

# %% tags=["export"]
def stall(stage, colour, foot):
    """A stall with an awning on "wheels", a "plinth", or "none"."""
    box(stage, PLAIN, colour, -900, 450, 900, 1900)
    box(stage, GLASS, (70, 60, 56), -650, 950, 650, 1500)
    for i in range(6):
        shade, x = colour if i % 2 else (240, 234, 220), 320 * i - 960
        box(stage, PLAIN, shade, x, 1500, x + 320, 1950)
    ground = {"wheels": (62, 62, 66), "plinth": (190, 178, 156),
              "none": colour}[foot]
    box(stage, PLAIN, ground, -900, 0, 900, 450)
    for x in (-500, 500) * (foot == "wheels"):
        oval(stage, PLAIN, (24, 24, 26), x, 220, 220, 220)

# %% [markdown]
# ## All of them in a row
#
# A stage without a street. We look at labels, for colours need light,
# and light is chapter 10's. (The bin is VOID; it has no colour.)

# %%
stage = Stage((96, 400), horizon=66)
dials = {"thin": 1000, "ragged": 600, "weather": "rain"}

def pick(low, high, *name):
    return draw(low, high, "seed 3", *name)

stage.stand(SKY)
box(stage, AIR, (0, 0, 0), -9000, -9000, 9000, 9000)
for i, (kind, (label, make)) in enumerate(THINGS.items()):
    stage.stand(label, 2300 * i - 16_500, 9000)
    make(stage, pick, i, dials)

# %%
for x, label, make in (
        (2000, CAR, partial(car, ahead=True, tall=False)),
        (5000, BOAT, partial(boat, tall=True)), (8000, CAR, tarpaulin)):
    stage.stand(label, x, 9000)
    make(stage, PAINTS[0])
for x, foot in ((11_000, "wheels"), (14_000, "plinth")):
    stage.stand(CAR if foot == "wheels" else BUILDING, x, 9000)
    stall(stage, PAINTS[0], foot)

# %%
who, depth = (np.zeros((192, 800), np.int32) for _ in range(2))
parts = np.array(stage.parts)
fill(who, depth, parts, stage.u, stage.focal)
mask = np.array(stage.labels, np.uint8)[parts[:, 1]][who]
show(paint(mask), classes=CLASSES,
     alt="Silhouettes in the colours of their classes, from left to"
     " right: " + ", ".join(THINGS) + ", car, boat, tarpaulin, and two"
     " stalls.")

# %% [markdown]
# The two stalls have one silhouette, whatever they stand on: as many
# samples each, but for a column where the grid cuts them differently.

# %%
kiosk, van = (mask == BUILDING), (mask == CAR)
van[:, :who.shape[1] * 3 // 4] = False
assert np.array_equal(kiosk.any(axis=1), van.any(axis=1))
assert abs(kiosk.any(axis=0).sum() - van.any(axis=0).sum()) <= 1
