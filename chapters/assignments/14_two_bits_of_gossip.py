# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Two bits of gossip
#
# *Pooling forgets where the largest of four was. How long a letter fits
# into what it forgets?*
#
# Of every window of 2 × 2 pixels, max pooling passes the largest value
# on and drops its place: one of four, two bits. Chapter 14's SegNet
# carries them across, for they say where things are. You will use them
# for post. By moving largest values from place to place you will write
# a letter into a picture: whoever pools first cannot see it, on
# principle, and whoever asks for the places can read it aloud. Then you
# will write one on every storey, and find out in which order that has
# to be done, and what a network that convolves before it pools makes of
# it all.
#
# **You need** chapters 01 to 14, and about two hours. **How it works:**
# replace each `raise NotImplementedError()` by your code, and keep the
# name and the arguments of the function. Pictures under *What you
# should see* are the target. The cells with `assert` check your work
# and try to help; the grader runs some more checks, on other pictures
# and letters. 12 points are given by tests, 3 by somebody who reads
# your answer.

# %% nbgrader={"grade_id": "imports"}
import warnings

import numpy as np
import torch

from seglib.display import show
from seglib.scenes import StreetScenes
from seglib.segnet import SegNet, pool
from seglib.training import fit, predict

warnings.filterwarnings("ignore", "Converting a tensor")
torch.set_num_threads(1)        # so small, more of them only wait

# %% [markdown]
# A letter becomes digits from 0 to 3, four for each byte, and the
# digits become a letter again.

# %% nbgrader={"grade_id": "post"}
LETTER = ("Dear decoder, the pole stands in the left column. I thought"
          " you should know. Not a word to the pooling. Yours, E.")


def digits_of(text):
    """A text as digits from 0 to 3, four for each byte."""
    data = np.frombuffer(text.encode(), np.uint8)
    return (data[:, None] >> np.array([6, 4, 2, 0]) & 3).ravel()


def text_of(digits):
    """The text that such digits spell, as far as they are one."""
    fours = np.asarray(digits)[:len(digits) // 4 * 4].reshape(-1, 4)
    data = (fours << np.array([6, 4, 2, 0])).sum(axis=1)
    return data.astype(np.uint8).tobytes().decode(errors="replace")


def pooled(picture, storeys=1):
    """The largest of each 2 x 2, again and again; (H, W) uint8."""
    x = torch.from_numpy(picture.astype(np.float32))[None, None]
    for _ in range(storeys):
        x, _ = pool(x)
    return x[0, 0].numpy().astype(np.uint8)

# %% [markdown]
# ## 1. Read the places
#
# Say for each window in which of its four places the largest value
# stands: 0 is the upper left, 1 the upper right, 2 the lower left, 3
# the lower right. `pool` gives places too, but counts them through the
# whole picture. A picture with an odd side has windows at its end that
# are only half there. **(2 points)**

# %% nbgrader={"grade_id": "corners", "solution": true}
def corners(picture):
    """Where in its window each largest value stands.

    Parameters
    ----------
    picture : (H, W) uint8 array

    Returns
    -------
    (ceil(H / 2), ceil(W / 2)) integer array
        2 * row + column within the window; of equal ones the first.
    """
    ### BEGIN SOLUTION
    x = torch.from_numpy(picture.astype(np.float32))[None, None]
    places = pool(x)[1][0, 0].numpy()
    rows, columns = np.divmod(places, picture.shape[1])
    return 2 * (rows % 2) + columns % 2
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-corners", "points": 2}
four = np.array([[1, 3, 2, 0, 9],
                 [4, 2, 1, 1, 7],
                 [0, 1, 5, 2, 3],
                 [2, 2, 0, 6, 8]], np.uint8)
found = corners(four[:, :4])
assert np.array_equal(found, [[2, 0], [2, 3]]), (
    f"4, 2, the first 2 and 6 stand at the places [[2, 0], [2, 3]] of"
    f" their windows; you say {np.asarray(found).tolist()}")
found = corners(four)
assert np.array_equal(found, [[2, 0, 0], [2, 3, 2]]), (
    "in five columns they stand where they stood, with 0 and 2 for the"
    f" 9 and the 8 behind them; you say {np.asarray(found).tolist()}."
    " Where does a row of this picture begin, when you count through?")
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(0)
for height, width in ((7, 9), (6, 7), (5, 4), (1, 3), (31, 33)):
    some = rng.integers(0, 256, (height, width)).astype(np.uint8)
    found = corners(some)
    assert found.shape == (-(-height // 2), -(-width // 2))
    for (y, x), code in np.ndenumerate(found):
        there = some[2 * y:2 * y + 2, 2 * x:2 * x + 2]
        assert there[code // 2, code % 2] == there.max()
        assert code == [2 * i + j for i, j in np.argwhere(
            there == there.max())][0]
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Where can one write?
#
# Into a window one can write if it has all its four pixels and *one*
# largest: where two are equally large, as in a white wall, to exchange
# them changes nothing, and the place that `pool` names is a matter of
# order. Reader and writer must agree on the windows without a word; so
# the answer may only depend on what writing does not change.
# **(2 points)**

# %% nbgrader={"grade_id": "writable", "solution": true}
def writable(picture):
    """Whether a window has four pixels and one largest.

    Parameters
    ----------
    picture : (H, W) uint8 array

    Returns
    -------
    (ceil(H / 2), ceil(W / 2)) bool array
    """
    ### BEGIN SOLUTION
    height, width = picture.shape
    free = np.zeros((-(-height // 2), -(-width // 2)), bool)
    whole = picture[:height // 2 * 2, :width // 2 * 2]
    four = np.stack([whole[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    alone = (four == four.max(axis=0)).sum(axis=0) == 1
    free[:height // 2, :width // 2] = alone
    return free
    ### END SOLUTION


# %% nbgrader={"grade_id": "test-writable", "points": 2}
wall = np.array([[5, 5, 1, 2, 9],
                 [5, 5, 3, 3, 7],
                 [0, 0, 8, 8, 3],
                 [0, 1, 8, 9, 8],
                 [4, 5, 6, 7, 8]], np.uint8)
found = writable(wall)
needed = [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
assert np.shape(found) == (3, 3), (
    f"you return {np.shape(found)}; needed: (3, 3), half windows too")
assert np.array_equal(found, needed), (
    f"you say\n{np.asarray(found).astype(int)}; needed:\n"
    f"{np.array(needed)}\nThree windows have a single largest value, 1,"
    " 9 and 9, and the last of them is only half there")
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(1)
for height, width in ((6, 8), (7, 9), (5, 2), (1, 6)):
    some = rng.integers(0, 4, (height, width)).astype(np.uint8)
    found = writable(some)
    assert found.dtype == bool
    for (y, x), said in np.ndenumerate(found):
        there = np.sort(some[2 * y:2 * y + 2, 2 * x:2 * x + 2].ravel())
        assert said == (len(there) == 4 and there[-1] > there[-2])
assert not writable(np.full((4, 4), 255, np.uint8)).any()
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Write
#
# Take the windows one can write into, in reading order, and one digit
# for each, as long as there are digits. If the largest value does not
# stand in the place that the digit names, let it *change places* with
# the pixel there. Nothing else is touched. **(4 points)**

# %% nbgrader={"grade_id": "write", "solution": true}
def write(picture, digits):
    """A picture whose places spell a letter.

    Parameters
    ----------
    picture : (H, W) uint8 array
        Is not changed.
    digits : sequence of int
        From 0 to 3.

    Returns
    -------
    (H, W) uint8 array

    Raises
    ------
    ValueError
        If there are more digits than windows; says how many there are.
    """
    ### BEGIN SOLUTION
    windows = np.argwhere(writable(picture))
    if len(digits) > len(windows):
        raise ValueError(f"digits has {len(digits)}; needed: up to"
                         f" {len(windows)}")
    written, now = picture.copy(), corners(picture)
    for (y, x), wanted in zip(windows, digits):
        code = now[y, x]
        here = 2 * y + code // 2, 2 * x + code % 2
        there = 2 * y + wanted // 2, 2 * x + wanted % 2
        written[here], written[there] = picture[there], picture[here]
    return written
    ### END SOLUTION

# %% nbgrader={"grade_id": "reading"}
def read(picture):
    """The digits that a picture's places spell."""
    return corners(picture)[writable(picture)]

# %%
street = StreetScenes(8, size=(160, 224), seed=3, thin=0.5)[5]
grey = street.image[..., 1]
sent = write(grey, digits_of(LETTER))
print(writable(grey).sum(), "windows for", len(digits_of(LETTER)),
      "digits; pooled as before:",
      np.array_equal(pooled(sent), pooled(grey)))
print(text_of(read(sent))[:len(LETTER)])

# %% tags=["expected"]
full = np.resize(digits_of(LETTER), writable(grey).sum())
sent = write(grey, full)
off = np.abs(sent.astype(int) - grey)
show(grey, sent, np.minimum(4 * off, 255).astype(np.uint8),
     titles=("a street", f"with {len(full) // 4} bytes of letters",
             "difference, four times"),
     alt=["A street in grey.",
          "The same; outlines are a little rougher.",
          f"What has changed, {np.mean(off > 0):.0%} of the pixels:"
          " much along outlines, little on walls and in the sky."])

# %% nbgrader={"grade_id": "test-write", "points": 2}
page = np.arange(16, dtype=np.uint8).reshape(4, 4)
done, needed = write(page, [0, 3, 1]), np.array(
    [[5, 1, 2, 3], [4, 0, 6, 7], [8, 13, 10, 11], [12, 9, 14, 15]])
assert np.array_equal(done, needed), (
    f"into\n{page}\nyou write 0, 3, 1 as\n{done}\nneeded:\n"
    f"{needed}\n"
    "5 goes up, and 0 comes down; 7 stands right; 13 and 9 change"
    " places")
assert np.array_equal(page, np.arange(16).reshape(4, 4)), (
    "the picture that you were given has changed")
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(2)
for height, width, levels in ((8, 10, 256), (9, 13, 5), (31, 22, 3)):
    some = rng.integers(0, levels, (height, width)).astype(np.uint8)
    free = writable(some)
    letter = rng.integers(0, 4, free.sum())
    done = write(some, letter)
    assert done.dtype == np.uint8 and done.shape == some.shape
    assert np.array_equal(pooled(done), pooled(some))
    assert np.array_equal(writable(done), free)
    assert np.array_equal(corners(done)[free], letter)
    for y, x in np.argwhere(done != some) // 2:
        here, there = (np.sort(one[2 * y:2 * y + 2, 2 * x:2 * x + 2],
                               axis=None) for one in (done, some))
        assert np.array_equal(here, there)
        assert free[y, x]
assert np.array_equal(write(done, letter), done)
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-brief", "points": 1}
page = np.arange(48, dtype=np.uint8).reshape(6, 8)
done = write(page, [1, 1])
assert np.array_equal(done[2:], page[2:]) and np.array_equal(
    done[:, 4:], page[:, 4:]), (
    "two digits change two windows, and these are the first ones in"
    " reading order")
assert np.array_equal(write(page, []), page)
### BEGIN HIDDEN TESTS
gap = page.copy()
gap[:2, :2] = 77                        # nothing can be written here
done = write(gap, [0])
assert np.array_equal(done[:2, :2], gap[:2, :2])
assert done[0, 2] == gap[1, 3] and done[1, 3] == gap[0, 2]
assert (done != gap).sum() == 2
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-too-long", "points": 1}
def complaint(picture, digits):
    """What `write` says when it cannot."""
    try:
        write(picture, digits)
    except ValueError as error:
        return str(error)
    return ""


page = np.arange(20, dtype=np.uint8).reshape(4, 5)
assert not complaint(page, [0, 1, 2, 3])
assert "4" in complaint(page, [0, 1, 2, 3, 0]), (
    f"five digits for four whole windows: you say"
    f" {complaint(page, [0, 1, 2, 3, 0])!r}; needed: a ValueError that"
    " says that there are 4")
### BEGIN HIDDEN TESTS
flat = np.full((8, 8), 200, np.uint8)
assert "0" in complaint(flat, [1])
flat[0, 0] = flat[5, 6] = 210
assert not complaint(flat, [3, 3]) and "2" in complaint(flat, 3 * [1])
### END HIDDEN TESTS

# %% [markdown]
# ## 4. A letter on every storey
#
# SegNet pools again and again, and has a table of places for each
# storey. So there is room for more letters. On storey 1, a pixel of the
# pooled picture stands for a *block* of 2 × 2 pixels below it; on
# storey 2, for a block of 4 × 4. To move a largest value there is to
# let two whole blocks change places, with all that is in them. Storey 0
# is the picture itself.
#
# Write a letter on each storey so that all of them can be read in the
# end. Think first: which moves spoil what is written on another storey,
# and which do not? The order decides. (Let the sides be multiples of
# $2^n$ for $n$ letters, so that all blocks are whole.) **(4 points)**

# %% nbgrader={"grade_id": "write-storeys", "solution": true}
def write_storeys(picture, letters):
    """A picture whose places spell a letter on every storey.

    Parameters
    ----------
    picture : (H, W) uint8 array
        Is not changed. Sides are multiples of 2 to the power of
        `len(letters)`.
    letters : list of sequences of int
        Digits from 0 to 3 for the picture itself, for the picture
        pooled once, pooled twice, …

    Returns
    -------
    (H, W) uint8 array

    Raises
    ------
    ValueError
        If a letter is too long for its storey, as `write` does.
    """
    ### BEGIN SOLUTION
    picture = picture.copy()
    for storey in reversed(range(len(letters))):
        low = pooled(picture, storey)
        before, after = corners(low), corners(
            write(low, letters[storey]))
        (h, w), side = before.shape, 2**storey
        four = picture.reshape(h, 2, side, w, 2, side).transpose(
            0, 3, 1, 4, 2, 5).reshape(h, w, 4, side, side)
        for y, x in np.argwhere(writable(low)):
            pair = [before[y, x], after[y, x]]
            four[y, x, pair] = four[y, x, pair[::-1]]
        picture = four.reshape(h, w, 2, 2, side, side).transpose(
            0, 2, 4, 1, 3, 5).reshape(picture.shape)
    return picture
    ### END SOLUTION

# %% tags=["expected"]
letters = [np.resize(digits_of(LETTER), writable(pooled(grey, n)).sum())
           for n in range(4)]
sent = [write_storeys(grey, letters[:n]) for n in (1, 2, 4)]
show(grey, *sent, titles=("a street", "1 letter", "2 letters",
                          "4 letters"),
     alt=["A street in grey.", "The same, a little rougher.",
          "With two letters: outlines are frayed.",
          "With four: blocks of up to eight pixels have changed places,"
          " and the street is a heap of shreds."])

# %% nbgrader={"grade_id": "test-storeys", "points": 2}
page = np.random.default_rng(3).permutation(64).reshape(8, 8).astype(
    np.uint8)
low = np.tile([3, 0, 1, 2], 4), [2, 2, 1, 0], [3]
done = write_storeys(page, list(low))
for storey, letter in enumerate(low):
    found = read(pooled(done, storey))
    assert np.array_equal(found, letter), (
        f"storey {storey} was to spell {list(map(int, letter))}; it"
        f" spells {found.tolist()}. Who has moved last?")
assert np.array_equal(pooled(done, 3), pooled(page, 3))
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(4)
for height, width, levels, n in ((32, 48, 256, 3), (16, 64, 7, 4),
                                 (24, 8, 4, 2), (6, 10, 90, 1)):
    some = rng.integers(0, levels, (height, width)).astype(np.uint8)
    kept = some.copy()
    some_letters = [rng.integers(0, 4, writable(pooled(some, i)).sum())
                    for i in range(n)]
    done = write_storeys(some, some_letters)
    assert np.array_equal(some, kept)
    assert np.array_equal(np.sort(done, axis=None),
                          np.sort(some, axis=None))
    assert np.array_equal(pooled(done, n), pooled(some, n))
    for i, letter in enumerate(some_letters):
        assert np.array_equal(read(pooled(done, i)), letter)
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-blocks", "points": 1}
page = np.arange(16, dtype=np.uint8).reshape(4, 4)
done, needed = write_storeys(page, [[], [0]]), np.array(
    [[10, 11, 2, 3], [14, 15, 6, 7], [8, 9, 0, 1], [12, 13, 4, 5]])
assert np.array_equal(done, needed), (
    f"a 0 on storey 1 makes of\n{page}\nthis:\n{done}\nneeded:\n"
    f"{needed}\nThe block with the 15 goes up, as it is")
### BEGIN HIDDEN TESTS
high = np.random.default_rng(5).permutation(128).reshape(16, 8).astype(
    np.uint8)
moved = write_storeys(high, [[], [], [1, 2]])
kept, still = (sorted(one[y:y + 4, x:x + 4].tobytes()
                      for y in range(0, 16, 4) for x in (0, 4))
               for one in (high, moved))
assert kept == still
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-alone", "points": 1}
page = np.random.default_rng(6).permutation(256).reshape(16, 16).astype(
    np.uint8)
note = np.tile([1, 2, 3, 0], 16)
assert np.array_equal(write_storeys(page, [note]), write(page, note)), (
    "with one letter this is what `write` does")
assert np.array_equal(write_storeys(page, []), page)
try:
    write_storeys(page, [[], 17 * [1]])
except ValueError:
    pass
else:
    assert False, "on storey 1 there are 16 windows: 17 are too many"
### BEGIN HIDDEN TESTS
brief = write_storeys(page, [[2], [], [3]])
assert read(brief)[0] == 2 and read(pooled(brief, 2))[0] == 3
### END HIDDEN TESTS

# %% [markdown]
# Who notices? Three who look at the street, before and after a letter
# on storey 0 that fills it: one who pools the largest, one who pools
# the mean, and a small SegNet, trained for a moment on streets, which
# convolves twice before it pools for the first time. Beside the letter
# stands noise that changes the picture by as much.

# %%
train = StreetScenes(150, seed=0, size=(64, 96), thin=0.5)
torch.manual_seed(0)
net = SegNet(13, width=8)
history = fit(net, list(train), steps=60, batch_size=12, lr=0.01,
              class_weights="median", progress=False)

# %%
def means(picture):
    """The mean of each 2 x 2."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    return picture.reshape(height, 2, width, 2).mean(axis=(1, 3))


rng, changes = np.random.default_rng(0), {}
for scene in StreetScenes(12, seed=1, size=(64, 96), thin=0.5):
    sent = np.stack([write(part, np.resize(digits_of(LETTER),
                                           writable(part).sum()))
                     for part in scene.image.transpose(2, 0, 1)], -1)
    off = (sent.astype(float) - scene.image).std()
    noisy = scene.image + rng.normal(0, off, sent.shape)
    noisy = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    answer = predict(net, scene.image)
    for name, other in (("letter", sent), ("noise", noisy)):
        green, was = other[..., 1], scene.image[..., 1]
        changes.setdefault(name, []).append((
            np.mean(pooled(green) != pooled(was)),
            np.mean(means(green) != means(was)),
            np.mean(corners(green) != corners(was)),
            np.mean(predict(net, other) != answer)))
print("changed by     largest   means  places  SegNet's answer")
for name, rows in changes.items():
    print(f"{name:12}", *(f"{share:8.0%}" for share in
                          np.mean(rows, axis=0)))

# %% [markdown]
# **Question.** 1. The picture's largest values *and* its means are
# exactly what they were. Why the means? How many bits could a window
# carry if one only minded its mean, and all its four values differ? 2.
# Does SegNet notice, in your table, and why could it at all, though
# each of its poolings is as blind as yours? 3. PyTorch keeps a place as
# an integer of 64 bits, of which you have used two. What do the other
# 62 say, and why does nobody need to be told? Six sentences will do.
# **(3 points, read by a person)**

# %% [markdown] nbgrader={"grade_id": "gossip", "points": 3, "solution": true}
# Writing lets two pixels of a window change places; the four values
# stay, and with them every number that does not ask where they are:
# largest, mean, median. Whoever minds the mean only leaves all 4 · 3 ·
# 2 · 1 = 24 orders to the writer, log2(24) = 4.6 bits. SegNet notices:
# its first convolutions see which pixel stands beside which, and what
# they make of that is pooled; a pooling is blind only to the order
# inside the windows of *its own* map, and the letter has not been
# written there. How much it minds, beside noise of the same size, says
# the table. The other 62 bits name the window, counted through the
# whole map, and are empty above that; but an index stands in the table
# at the place of its window, so this is known already. It makes
# unpooling a single scatter without any arithmetic, which is what the
# bytes are paid for.
#
# *For the grader: 1 point for the values that stay in their window and
# for 24 orders, 1 for the convolution before the pooling, in agreement
# with the table, 1 for the window, which the table's own order names.*
