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
#       gpu: 0.2
#       laptop: 0.2
#     module: light
#     place: 9.7
# ---

# %% [markdown]
# # Light on a street
#
# *Once we know what every pixel sees: what colour is it?*
#
# **You will be able to** paint a sky, windows, leaves, wet streets and
# water in a few lines each; turn day into night; let far things fade.
#
# **You need** the painter (A7) and the materials of its things (A8).
#
# **Exports** `WEATHER`, `DAYS`, `Light`, `daylight`, `shade`, `shine`.

# %% tags=["export"]
from typing import NamedTuple

import numpy as np
from numba import njit

from seglib.painter import (BLUE, EYE, GREEN, LEFT, MATERIAL, PLANE,
                            RED, RIGHT, SEED, STEP, STYLE, noise,
                            scatter)
from seglib.props import (AIR, BARE, EARTH, FACE, GLOW, LEAVES, LIQUID,
                          MOON, QUAY, ROUND, SHOP, SHUTTERS, STONE,
                          TILES, WALL)

# %%
from seglib.display import show
from seglib.painter import draw

# %% [markdown]
# ## The light of a day
#
# A sky is two colours, the top and the horizon. Day, dusk and night are
# three pairs of them, and the dial moves between. The horizon's colour
# does double duty: it is the haze into which far things fade.

# %% tags=["export"]
#: Weathers: top of the sky, horizon, haze, wetness, clouds, sun.
WEATHER = {
    "clear": ((88, 150, 212), (218, 230, 232), 0.003, 0.0, 0.5, 1.0),
    "cloudy": ((140, 160, 184), (222, 224, 222), 0.004, 0.0, 1.0, 0.35),
    "rain": ((112, 124, 142), (182, 190, 196), 0.008, 0.6, 1.0, 0.0),
    "fog": ((190, 198, 204), (216, 219, 218), 0.022, 0.2, 0.2, 0.0)}


#: How often each weather is drawn.
DAYS = ("clear",) * 3 + ("cloudy",) * 2 + ("rain", "fog")
_DUSK = (70, 84, 140), (244, 176, 128), (204, 168, 168)
_NIGHT = (16, 24, 54), (52, 58, 96), (61, 74, 117)
_EVENING = (12, -8, -30), (30, -6, -50), (10, -8, -34)

# %% tags=["export"]
class Light(NamedTuple):
    """Colours of sky (2, 3) and light (3), and the weather."""

    sky: np.ndarray
    tint: np.ndarray
    night: float
    sun: int
    sunny: float
    haze: float
    wet: float
    clouds: float

# %% tags=["export"]
def daylight(pick, night: float, weather: str) -> Light:
    """Light of a scene: `night` from 0 to 1, a key of `WEATHER`."""
    top, low, haze, wet, clouds, sunny = WEATHER[weather]
    warm = pick(0, 1000, "hour") / 1000 * sunny
    day = np.array([top, low, (255, 255, 255)]) + warm * np.array(
        _EVENING)
    ends = day if night < 0.5 else np.array(_NIGHT)
    near = 2 * min(night, 1 - night)
    colours = ends + near * (np.array(_DUSK) - ends)
    colours = colours.astype(np.float32)
    return Light(colours[:2], colours[2] / np.float32(255), night,
                 2 * pick(0, 1, "sun") - 1,
                 sunny * max(0.0, 1 - 1.6 * night), haze, wet, clouds)

# %%
def gradient(light):
    t = np.linspace(0, 1, 64)[:, None, None]
    sky = light.sky[0] * (1 - t) + light.sky[1] * t
    return np.repeat(sky.clip(0, 255), 48, axis=1).astype(np.uint8)

def pick(low, high, *name):
    return draw(low, high, "a day", *name)

hours = {"day": 0, "dusk": 0.5, "night": 1}
skies = {when: daylight(pick, night, "clear")
         for when, night in hours.items()} | {
    kind: daylight(pick, 0, kind) for kind in ("rain", "fog")}
show(*map(gradient, skies.values()), titles=list(skies), height=110,
     alt=[f"The sky, {what}: " + " to ".join(
         f"({r:.0f}, {g:.0f}, {b:.0f})" for r, g, b in light.sky)
         for what, light in skies.items()])

# %% [markdown]
# The sky in detail: a blend from top to horizon, stars at night, and
# clouds, which are smooth noise {cite}`perlin1985` on a flat ceiling
# seen in perspective, the same division by the distance to the horizon
# as for the ground.

# %% tags=["export", "kernel"]
@njit(cache=True)
def _sky(u, v, focal, t, seed, light):
    """Colour of the air, `t` of the way down to the horizon."""
    top, low = light.sky[0], light.sky[1]
    far = 4000 * focal // (focal // 6 - min(v, 0))
    x = u * far // focal
    cloud = (2 * noise(x, 2 * far, 3000, seed)
             + noise(x, 2 * far, 1000, seed + 1)) / 196605
    cloud = min(max((cloud - 0.68 + 0.2 * light.clouds) * 3.5, 0), 1)
    cloud *= 0.9 - 0.7 * t * t
    star = 0.0
    if light.night > 0.6 and scatter(u // 12, v // 12, seed) < 160:
        star = 400 * (light.night - 0.6) * (1 - t) * (1 - cloud)
    mix = t + (1 - t) * cloud
    return (top[0] + (low[0] - top[0]) * mix + star,
            top[1] + (low[1] - top[1]) * mix + star,
            top[2] + (low[2] - top[2]) * mix + star)

# %% [markdown]
# A wall knows where on it we look: `u` millimetres along, `v` up. Whole
# numbers again, for whether a sample lies in a window must not depend
# on rounding. Every house has its own distance between windows, and
# every window its own mind about being lit.

# %% tags=["export", "kernel"]
@njit(cache=True)
def _wall(u, v, part, r, g, b, night):
    """Colour of a wall with doors and windows, and how it glows."""
    seed, style = part[SEED], part[STYLE]
    k = 1 + 0.1 * (noise(u, 2 * v, 300, seed) / 65535 - 0.5)
    k -= 0.10 * (v < 350)
    r, g, b = r * k, g * k, b * k
    if style & BARE:
        return r * 0.86, g * 0.86, b * 0.88, 0.0
    pitch, storey = 1700 + seed % 7 * 130, 2600 + seed % 5 * 110
    i, j = u // pitch, v // storey
    fu = (u - i * pitch) * 1000 // pitch
    fv = (v - j * storey) * 1000 // storey
    chance, shop = scatter(i, j, seed), (style & SHOP) > 0 and j == 0
    if shop and fv > 800:
        return 60.0 + chance % 120, 70.0 + chance % 50, 90.0, 0.0
    wide, low, high = (60, 140, 780) if shop else (290, 270, 760)
    if j == 0 and not shop and chance % 4 == 0:
        if 300 < fu < 700 and fv < 780:
            return 70 + chance % 80, 66 + chance % 40, 60.0, 0.0
        return r, g, b, 0.0
    if wide < fu < 1000 - wide and low < fv < high:
        rim = min(fu - wide, 1000 - wide - fu, fv - low, high - fv)
        if rim < 45 or (abs(fu - 500) < 22 and not shop):
            return 226.0, 220.0, 206.0, 0.0
        if chance % 100 < 55 * night or (shop and night > 0.3):
            return 255.0, 204 + chance % 24, 122.0, min(1, 2 * night)
        sheen = 0.35 * (fv - low) / (high - low)
        return 62 + 90 * sheen, 78 + 100 * sheen, 96 + 110 * sheen, 0.0
    if style & SHUTTERS and not shop and 150 < fu < 850:
        if low < fv < high:
            return r * 0.55, g * 0.75, b * 0.78, 0.0
    return r, g, b, 0.0

# %%
@njit
def wall_picture(part, night, size):
    picture = np.empty((size, 2 * size, 3))
    for y in range(size):
        for x in range(2 * size):
            r, g, b, _ = _wall(60 * x, 60 * (size - y), part, 214.0,
                               176.0, 130.0, night)
            picture[y, x] = r, g, b
    return picture

# %%
walls = []
for style, night in ((0, 0.0), (SHOP, 0.0), (SHUTTERS, 1.0)):
    part = np.zeros(26, int)
    part[SEED], part[STYLE] = 4, style
    walls.append(wall_picture(part, night, 130).clip(0, 255))
show(*(w.astype(np.uint8) for w in walls), height=116,
     titles=("a house", "with a shop", "with shutters, at night"),
     alt=["A wall with two rows of windows and a door.", "The same with"
          " shop windows below.", "With shutters; some windows lit."])

# %% [markdown]
# Everything else has a material: a grain for asphalt, slabs for the
# pavement, blocks for the quay, leaves that are lighter on the sunny
# side, and `ROUND`, which shades a flat figure as if it were a
# cylinder. `k` is how bright, `glow` how much of it needs no light.

# %% tags=["export", "kernel"]
@njit(cache=True)
def _matter(u, x, y, z, part, light):
    """Colour of what a part is made of, and how much it glows."""
    kind, seed = part[MATERIAL], part[SEED]
    r, g, b = float(part[RED]), float(part[GREEN]), float(part[BLUE])
    k, glow, fine = 1.0, 0.0, min(1.0, 12_000 / z)
    turn = 2 * (u - part[LEFT]) / (part[RIGHT] - part[LEFT] + 1) - 1
    bright = turn * light.sun * light.sunny
    if kind == EARTH:
        k += fine * 0.16 * (noise(x, z, 160, seed) / 65535 - 0.5)
        k += 0.05 * (noise(x, z // 4, 1500, seed + 1) / 65535 - 0.5)
        if part[STYLE] and abs(x) < 80 and z % 5000 < 2400:
            r, g, b = 226.0, 222.0, 208.0
    elif kind == STONE:
        i, j = x // 600, z // 600
        k += fine * 0.12 * (scatter(i, j, seed) / 65535 - 0.5)
        k += 0.08 * (noise(x, z, 1500, seed) / 65535 - 0.5)
        if z < 14_000 and (x - i * 600 < 40 or z - j * 600 < 40):
            k -= 0.10
    elif kind == QUAY:
        k = 0.9 + 0.2 * scatter(z // 900, y // 300, seed) / 65535
    elif kind == WALL:
        r, g, b, glow = _wall(z, y, part, r, g, b, light.night)
        if part[PLANE] * light.sun > 0 and glow == 0:
            k = 0.90 - 0.11 * light.sunny
    elif kind == FACE:
        r, g, b, glow = _wall(x, y, part, r, g, b, light.night)
        k = 0.94
    elif kind == TILES:
        chance = scatter((x + z) // 300, y // 160, seed)
        k = 0.9 + 0.2 * chance / 65535
    elif kind == LEAVES:
        k = 0.36 + 0.46 * noise(x, y, 420, seed) / 65535
        k += 0.2 * bright + 0.00008 * y
    elif kind == ROUND:
        k = 1.04 - 0.22 * turn * turn + 0.14 * bright
    elif kind == GLOW or kind == MOON:
        glow = light.night
    return r * k, g * k, b * k, glow

# %% [markdown]
# Then the picture, row by row from the top, because water needs what is
# above it: **a canal shows the picture upside down**, mirrored at the
# horizon and shaken a little by noise. So do wet streets, faintly.
# Shadows darken the ground, haze lies over all that is far. (A neutral
# street never shines: a mirror would carry the tower's cap right beside
# the vehicles.)

# %% tags=["export"]
@njit(cache=True)
def _mirrored(r, s, x, z, level, shape, seed):
    """Which sample the water shows in row `r`, column `s`."""
    wave = noise(x, z, 500 + z // 60, seed) - 32768
    up = 2 * level - r + wave * 14 * shape[0] // 192 // 65536
    aside = s + (noise(x, z // 2, 300, seed + 5) - 32768) // 20000
    painted = min(level, r - 1)         # rows that have their colours
    return max(min(up, painted), 0), min(max(aside, 0), shape[1] - 1)


@njit(cache=True)
def _shininess(kind, light, neutral):
    if kind == LIQUID:
        return 0.62
    wet = (kind == EARTH or kind == STONE) and not neutral
    return 0.5 * light.wet * wet

# %% tags=["export", "kernel"]
@njit(cache=True)
def shade(who, depth, dark, parts, view, light, neutral, picture):
    """Colours of all samples, from the sky down to our feet.

    Parameters
    ----------
    who, depth, dark : (2 H, 2 W) int32 arrays
        The part seen by each sample, its distance in mm, and more than
        0 where the ground lies in shadow.
    parts : (P, N) int64 array
    view : (int, int, int, int)
        The stage's u, v and focal length, and a seed.
    light : Light
    neutral : bool
        Whether wet ground must not shine.
    picture : (2 H, 2 W, 3) float32 array
        Written: grey values, about 0 to 255.
    """
    u0, v0, focal, seed = view
    level = min(max(v0 // STEP, 1), len(who) - 1)
    for r in range(who.shape[0]):
        v = STEP * r + 8 - v0
        for s in range(who.shape[1]):
            u, z = STEP * s + 8 - u0, depth[r, s]
            part = parts[who[r, s]]
            kind = part[MATERIAL]
            if kind == AIR or (kind == MOON and light.night < 0.4):
                t = min(max(1 + v / v0, 0), 1)
                picture[r, s] = _sky(u, v, focal, t * t, seed, light)
                continue
            x, y = u * z // focal, EYE - v * z // focal
            red, green, blue, glow = _matter(
                u + u0, x, y, z, part, light)
            if dark[r, s] > 0 and (kind == EARTH or kind == STONE):
                k = 1 - 0.4 * max(light.sunny, 0.4)
                red, green, blue = red * k, green * k, blue * (k + 0.04)
            shine = _shininess(kind, light, neutral)
            up, aside = _mirrored(r, s, x, z, level, who.shape, seed)
            haze = 1 - 1 / (1 + light.haze * z / 1000)
            for c in range(3):
                value = (red, green, blue)[c] * (
                    (1 - glow) * light.tint[c] + glow)
                if shine > 0:
                    value += shine * (picture[up, aside, c] - value)
                value += haze * (1 - 0.7 * glow) * (
                    light.sky[1, c] - value)
                picture[r, s, c] = value

# %% [markdown]
# At night lamps and headlights spread a glow, which is added on top,
# never past white.

# %% tags=["export", "kernel"]
@njit(cache=True)
def shine(picture, lamps, strength):
    """Add the glow of lamps.

    Parameters
    ----------
    picture : (2 H, 2 W, 3) float32 array
        Changed in place.
    lamps : (N, 6) array
        u, v and radius, in samples, and a colour.
    strength : float
    """
    rows, columns = picture.shape[:2]
    for n in range(len(lamps)):
        u, v, radius = int(lamps[n, 0]), int(lamps[n, 1]), lamps[n, 2]
        reach = int(3 * radius) + 1
        left, right = max(0, u - reach), min(columns, u + reach + 1)
        for r in range(max(0, v - reach), min(rows, v + reach + 1)):
            for s in range(left, right):
                near = ((r - v)**2 + (s - u)**2) / (radius * radius)
                if near < 9:
                    k = strength * (1 - near / 9)**2 / (1 + 3 * near)
                    for c in range(3):
                        room = 1 - min(picture[r, s, c], 255) / 255
                        picture[r, s, c] += k * lamps[n, 3 + c] * room

# %%
night = np.zeros((80, 160, 3), np.float32) + (16, 24, 54)
yellow, white = (250, 186, 104), (250, 230, 180)
lamps = np.array([[30, 40, 8, *yellow], [90, 30, 16, *yellow],
                  [110, 30, 16, *white]], float)
shine(night, lamps, 1.0)
assert night.max() <= 255
show(night.astype(np.uint8), height=150,
     alt="Three glowing lamps on dark blue; two of them overlap, and"
     " are nowhere whiter than white.")
