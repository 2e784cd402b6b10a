"""The two worlds: the same everywhere, honest dials; augmentation."""
import hashlib
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from seglib import light, resolve, scenes
from seglib.display import VOID
from seglib.props import (BOAT, BUILDING, CAR, CLASSES, FENCE, POLE, ROAD,
                          SKY, TREE, WATER)
from seglib.scenes import Augment, Cells, StreetScenes, seams

VEHICLES = (CAR, BOAT)
DRAWN = pytest.mark.parametrize("kind", [StreetScenes, Cells])

# A hash of masks with dials at several places. It must not change: not
# between machines, Python versions or runs. If the world is changed on
# purpose, so is this line, and every result measured in it.
KNOWN = "8ad3fdf1"


def fingerprint(order=1) -> str:
    masks = {}
    worlds = [StreetScenes(5), StreetScenes(3, seed=5, ambiguity=1, thin=0.2),
              StreetScenes(3, size=(61, 87), scale=1, ragged=1),
              StreetScenes(2, label_noise=0.7, night=1), Cells(3, touching=1)]
    for w, world in list(enumerate(worlds))[::order]:
        for i in list(range(len(world)))[::order]:
            sample = world[i]
            masks[w, i] = (sample.mask.tobytes()
                           + sample.instances.tobytes())
    total = hashlib.sha256()
    for key in sorted(masks):
        total.update(masks[key])
    return total.hexdigest()[:8]


# The same everywhere

def test_masks_have_the_stored_hash():
    assert fingerprint() == KNOWN


def test_the_order_of_access_does_not_matter():
    assert fingerprint(order=-1) == KNOWN


def test_another_process_draws_the_same():
    code = "import test_scenes; print(test_scenes.fingerprint())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests",
                          capture_output=True, text=True, check=True)
    assert done.stdout.strip() == KNOWN


def _draw(job):
    world, i = job
    return world[i].image


@pytest.mark.parametrize("method", ["fork", "spawn"])
@DRAWN
def test_workers_draw_the_same_image(kind, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {method}")
    world = kind(2, seed=4)
    here = _draw((world, 1))
    with multiprocessing.get_context(method).Pool(1) as pool:
        [there] = pool.map(_draw, [(world, 1)])
    np.testing.assert_array_equal(there, here)


def test_a_street_is_painted_on_any_canvas(monkeypatch):
    """Nothing is read that was not written before: what memory held does
    not shine through."""
    world = StreetScenes(24, seed=3, noise=0)

    def painted_on(grey):
        def shade(*settings):
            settings[-1].fill(grey)
            light.shade(*settings)
        monkeypatch.setattr(scenes, "shade", shade)
        return [sample.image for sample in world]

    for a, b in zip(painted_on(0), painted_on(10_000)):
        np.testing.assert_array_equal(a, b)


# A data set like the others

@DRAWN
def test_samples_keep_the_contract(kind):
    world = kind(3, seed=2)
    for name, sample in zip(world.names, world):
        assert sample.name == name and sample.classes == world.classes
        assert sample.image.dtype == sample.mask.dtype == np.uint8
        assert sample.mask.shape == world.size == sample.instances.shape
        assert set(np.unique(sample.mask)) <= {*range(len(world.classes)),
                                               VOID}
        np.testing.assert_array_equal(world.masks[name], sample.mask)
        np.testing.assert_array_equal(world.images[name], sample.image)
        numbers = np.unique(sample.instances)
        assert numbers[0] == 0 and sample.instances.dtype == np.int32


@DRAWN
def test_slices_and_copies_are_the_same_scenes(kind):
    world = kind(6)
    part = world[1:4]
    assert type(part) is kind and len(part) == 3
    np.testing.assert_array_equal(part[0].image, world[1].image)
    again = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(again[2].image, world[3].image)
    assert len(kind(0)) == 0
    with pytest.raises(IndexError):
        world[6]


@pytest.mark.parametrize("name, kind", [("scenes", StreetScenes),
                                        ("cells", Cells)])
def test_both_are_registered(name, kind):
    assert resolve("dataset", name) is kind


@settings(max_examples=12)
@given(st.integers(32, 120), st.integers(32, 140), st.integers(0, 9),
       st.floats(0, 1), st.floats(0, 1))
def test_any_size_and_any_dials(height, width, seed, a, b):
    world = StreetScenes(2, (height, width), seed, thin=a, ragged=b,
                         night=b, noise=a, label_noise=a, sides=b)
    sample = world[1]
    assert sample.mask.shape == (height, width)
    assert (sample.mask[0] == VOID).all()
    assert np.isfinite(sample.depth[sample.mask == ROAD]).all()


@pytest.mark.parametrize("kind, arguments, said", [
    (StreetScenes, {"n": -1}, "n is -1"),
    (StreetScenes, {"n": 2.5}, "n is 2.5"),
    (StreetScenes, {"n": 1, "seed": -3}, "seed is -3"),
    (StreetScenes, {"n": 1, "size": 96}, "size is 96"),
    (StreetScenes, {"n": 1, "size": (8, 99)}, "size is 8"),
    (StreetScenes, {"n": 1, "thin": 1.5}, "thin is 1.5"),
    (StreetScenes, {"n": 1, "night": float("nan")}, "night is nan"),
    (StreetScenes, {"n": 1, "noise": "much"}, "noise is 'much'"),
    (StreetScenes, {"n": 1, "noise": None}, "noise is None"),
    (StreetScenes, {"n": 1, "cue": "left"}, "cue is 'left'"),
    (StreetScenes, {"n": 1, "weather": "snow"}, "weather is 'snow'"),
    (StreetScenes, {"n": 1, "thinn": 0.5}, "'thinn' is no dial"),
    (Cells, {"n": 1, "blur": -0.1}, "blur is -0.1"),
    (Cells, {"n": 1, "thin": 0.1}, "'thin' is no dial"),
])
def test_a_wrong_argument_is_named(kind, arguments, said):
    with pytest.raises(ValueError, match=said) as raised:
        kind(**arguments)
    assert "needed" in str(raised.value) and "\n" not in str(raised.value)


def test_with_says_what_is_wrong_and_changes_nothing():
    world = StreetScenes(2)
    with pytest.raises(ValueError, match="ragged is 2"):
        world.with_(ragged=2)
    other = world.with_(size=(64, 80), thin=0.1)
    assert other[0].mask.shape == (64, 80)
    assert world.settings["thin"] == scenes.DIALS["thin"]


# Geometry

def test_the_ground_is_where_perspective_puts_it():
    """Depth of the road below the horizon, from 1.6 m times F over d."""
    world = StreetScenes(8, seed=2, noise=0)
    for i, name in enumerate(world.names):
        horizon = world.pick(name)(44, 48, "horizon")
        sample = world[i]
        rows, columns = np.nonzero(sample.mask == ROAD)
        keep = rows > horizon + 6
        if not keep.any():              # canals on both sides
            continue
        metres = 1.6 * 90 / (rows[keep] + 0.5 - horizon)
        found = sample.depth[rows[keep], columns[keep]]
        assert np.abs(found / metres - 1).max() < 0.08


def test_sky_has_no_depth_and_near_things_hide_far_ones():
    sample = StreetScenes(3, noise=0)[0]
    assert np.isnan(sample.depth[sample.mask == SKY]).all()
    assert sample.depth[-4, 64] < sample.depth[60, 64] < 60


def test_a_larger_picture_shows_the_same_scene():
    small = StreetScenes(6, seed=1, thin=0.5)
    for a, b in zip(small, small.with_(size=(288, 384))):
        same = (a.mask == b.mask[1::3, 1::3])[3:-3, 3:-3]
        assert same.mean() > 0.95


def test_instances_are_single_things():
    for sample in StreetScenes(6, seed=7):
        for i in range(1, sample.instances.max() + 1):
            labels = np.unique(sample.mask[sample.instances == i])
            assert len(set(labels) - {VOID}) <= 1


# Dials

def test_night_is_dark_and_its_windows_are_lit():
    world = StreetScenes(8, seed=9, weather="clear")
    for day, night in zip(world, world.with_(night=1)):
        assert night.image.mean() < day.image.mean() / 2
        assert night.image.max() > 200


@pytest.mark.parametrize("dial", ["night", "noise"])
def test_light_and_grain_do_not_touch_the_masks(dial):
    world = StreetScenes(5, seed=6)
    for a, b in zip(world.with_(**{dial: 0}), world.with_(**{dial: 1})):
        np.testing.assert_array_equal(a.mask, b.mask)
        assert (a.image != b.image).mean() > 0.5


@pytest.mark.parametrize("settings", [{"ambiguity": 1}, {"scale": 0.7}])
@pytest.mark.parametrize("cue", ["flipped", "removed"])
def test_a_cue_moves_nothing_but_itself(settings, cue):
    world = StreetScenes(20, seed=8, weather="rain", **settings)
    for a, b in zip(world, world.with_(cue=cue)):
        for part in ("mask", "instances", "depth"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
        changed = (a.image != b.image).any(axis=2)
        assert changed.any()
        if "ambiguity" in settings:             # the caps, and no more
            assert np.nonzero(changed)[0].max() < 18
            assert np.isin(a.mask[changed], (BUILDING, VOID, SKY)).all()


def test_every_cap_is_seen_and_too_far_for_a_small_window():
    world = StreetScenes(150, seed=11, ambiguity=1, weather="clear")
    for i, (a, b) in enumerate(zip(world, world.with_(cue="flipped"))):
        changed = (a.image != b.image).any(axis=2)
        for side in world.plan(world.names[i]).towers:
            half = changed[:, :64] if side < 0 else changed[:, 64:]
            assert half.sum() > 30
        far = ndimage.distance_transform_cdt(~changed, "chessboard")
        assert far[np.isin(a.mask, VEHICLES)].min() > 27


def test_a_neutral_scene_looks_the_same_on_road_and_water():
    """Redraw a scene with its surfaces exchanged: only labels change."""
    world = StreetScenes(12, seed=3, ambiguity=1, cue="removed")
    for name in world.names:
        def exchanged(low, high, *what, pick=world.pick(name)):
            value = pick(low, high, *what)
            if what in (("surface", 0), ("surface", 1)):
                return 1 - value
            return value
        dials = {k: round(1000 * v) if isinstance(v, (int, float)) else v
                 for k, v in world.settings.items()}
        other = scenes._scene(exchanged, world.size, dict(dials), name)
        sample = world[name]
        plans = scenes._plan(exchanged, dials), world.plan(name)
        assert plans[0].surfaces != plans[1].surfaces
        np.testing.assert_array_equal(sample.image, other.image)
        np.testing.assert_array_equal(
            np.isin(sample.mask, (ROAD, WATER)),
            np.isin(other.mask, (ROAD, WATER)))


def test_answers_are_balanced_and_sides_are_honest():
    world = StreetScenes(800, ambiguity=1)
    plans = [world.plan(name) for name in world.names]
    left = np.mean([p.surfaces[0] == "water" for p in plans])
    assert abs(left - 0.5) < 0.06
    two = [p for p in plans if len(p.towers) == 2]
    assert abs(len(two) / 800 - 0.5) < 0.06
    differ = np.mean([p.surfaces[0] != p.surfaces[1] for p in two])
    assert abs(differ - 0.5) < 0.08
    for p in plans:
        if len(p.towers) == 1:
            assert p.surfaces[0] == p.surfaces[1]
        for side, says in p.towers.items():
            assert says == p.surfaces[side > 0]
    assert all(len(p.towers) == 1 for p in map(
        world.with_(sides=0).plan, world.names[:99]))


def test_no_leak_without_the_caps():
    """A forest on everything but the caps is no better than a coin."""
    from sklearn.ensemble import RandomForestClassifier
    world = StreetScenes(240, seed=21, ambiguity=1, sides=0)
    features, answer = [], []
    for name, sample in zip(world.names, world):
        image = sample.image[18:].astype(float)
        blocks = image[:78 - 78 % 6].reshape(13, 6, 16, 8, 3).mean((1, 3))
        features.append(np.concatenate(
            [blocks.ravel(), image.mean((0, 1)), image.std((0, 1))]))
        answer.append(world.plan(name).surfaces[0] == "water")
    forest = RandomForestClassifier(200, random_state=0)
    forest.fit(features[:120], answer[:120])
    score = forest.score(features[120:], answer[120:])
    assert abs(score - 0.5) < 3 * 0.5 / np.sqrt(120)


def test_no_leak_above_the_feet():
    """All of a stall but its foot says nothing about the foot."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    world = StreetScenes(150, seed=5, scale=0, weather="clear", cue="removed")
    features, answer = [], []
    for name, sample in zip(world.names, world):
        pick = world.pick(name)
        for _, _, i, x, z in scenes._stalls(pick, 0):
            column = int(64 + pick(-4, 4, "middle") + 90 * x / z)
            if 14 < column < 114:
                patch = sample.image[40:60:2, column - 8:column + 8:2]
                features.append(patch.ravel() / 255)
                answer.append(pick(0, 1, "stall", 0, i))
    half = len(answer) // 2
    model = LogisticRegression(C=0.01, max_iter=500,
                               class_weight="balanced")
    model.fit(features[:half], answer[:half])
    score = balanced_accuracy_score(answer[half:],
                                    model.predict(features[half:]))
    error = np.sqrt((1 / np.bincount(answer[half:])).sum()) / 4
    assert abs(score - 0.5) < 3 * error


def narrowest(mask, label):
    """Least width, over all runs of a label along rows."""
    widths = []
    for row in mask == label:
        edges = np.flatnonzero(np.diff(np.r_[0, row, 0]))
        widths += list(edges[1::2] - edges[::2])
    return np.array(widths)


def test_at_thin_zero_no_pole_is_thin():
    thick, thin = (np.concatenate([narrowest(s.mask, POLE) for s in
                                   StreetScenes(30, seed=4, thin=t)])
                   for t in (0, 1))
    assert np.median(thick) >= 9 and np.median(thin) <= 2
    far = [narrowest(np.where(s.depth > 25, s.mask, SKY), POLE)
           for s in StreetScenes(30, seed=4, thin=0)]
    assert np.median(np.concatenate(far)) >= 8      # the far ones too
    world = StreetScenes(20, seed=4, thin=0)
    holes = [ndimage.binary_fill_holes(m == FENCE).sum() - (m == FENCE).sum()
             for m in world.masks]
    assert max(holes) <= 6                      # somebody in front of it


def test_a_thin_pole_is_never_broken():
    """However a pole falls between the samples, each row has it."""
    from seglib.painter import Stage, fill, polygon
    for shift in range(16):
        stage = Stage((40, 40), horizon=20)
        stage.stand(0)
        polygon(stage, 0, (0, 0, 0), (shift * 3, 0), (shift * 3 + 1, 0),
                (shift * 3 + 90, 3000), (shift * 3 + 89, 3000))
        who, depth = (np.full((80, 80), -1, np.int32) for _ in range(2))
        fill(who, depth, np.array(stage.parts), stage.u, stage.focal)
        rows = np.flatnonzero((who == 0).any(axis=1))
        assert len(rows) == np.ptp(rows) + 1 > 30


def test_stalls_have_one_size_at_zero_and_many_at_one():
    spread = {}
    for scale in (0, 1000):
        z = [z for name in StreetScenes(80).names for *_, z in
             scenes._stalls(StreetScenes(80).pick(name), scale)]
        spread[scale] = max(z) / min(z)
    assert spread[0] == 1 and spread[1000] > 6


def test_ragged_crowns_change_trees_only():
    world = StreetScenes(10, seed=9)
    for a, b in zip(world.with_(ragged=0), world.with_(ragged=1)):
        changed = a.mask != b.mask
        near = ndimage.binary_dilation((a.mask == TREE) | (b.mask == TREE))
        assert changed.any() and near[changed].all()    # a vote may turn


def test_label_noise_is_in_the_labels_alone():
    world, wrong = StreetScenes(12, seed=9), []
    for level in (0, 0.3, 1):
        noisy = world.with_(label_noise=level)
        for a, b in zip(world, noisy):
            np.testing.assert_array_equal(a.image, b.image)
            np.testing.assert_array_equal(a.instances, b.instances)
        wrong.append(np.mean([(a.mask != b.mask).mean()
                              for a, b in zip(world, noisy)]))
    assert wrong[0] == 0 < wrong[1] < wrong[2] < 0.4


def test_grain_has_the_deviation_that_the_dial_says():
    world = StreetScenes(6, seed=2, weather="cloudy")
    for level in (0.1, 0.5):
        grain = np.stack([b.image[50:].astype(float) - a.image[50:]
                          for a, b in zip(world.with_(noise=0),
                                          world.with_(noise=level))])
        robust = np.median(np.abs(grain)) / 0.6745
        assert robust == pytest.approx(40 * level, rel=0.12)


# Cells

def test_nuclei_are_single_pieces_and_fill_the_mask():
    for sample in Cells(10, seed=3):
        np.testing.assert_array_equal(sample.mask == 1, sample.instances > 0)
        for i in range(1, sample.instances.max() + 1):
            piece = sample.instances == i
            sizes = np.bincount(ndimage.label(piece)[0].ravel())[1:]
            assert not len(sizes) or sizes.max() > 0.9 * sizes.sum()


def test_touching_is_a_dial_with_a_zero():
    share = []
    for touching in (0, 0.5, 1):
        share.append(np.mean([seams(s.instances).sum() for s in
                              Cells(25, seed=1, touching=touching)]))
    assert share[0] == 0 < share[1] < share[2]


def test_photons_are_poissons():
    for mean in (0.5, 12, 700):
        counts = scenes._poisson(np.full((150, 150), float(mean)), 5)
        assert counts.mean() == pytest.approx(mean, rel=0.02)
        assert counts.var() == pytest.approx(mean, rel=0.05)
    counts = scenes._poisson(np.full((200, 200), 3.0), 1).ravel()
    expected = stats.poisson.pmf(np.arange(12), 3) * counts.size
    seen = np.bincount(counts, minlength=12)[:12]
    assert stats.chisquare(seen[:9], expected[:9] * seen[:9].sum()
                           / expected[:9].sum()).pvalue > 1e-3
    assert (scenes._poisson(np.zeros((4, 4)), 1) == 0).all()


def test_seams_are_where_two_objects_meet():
    one = np.zeros((6, 8), int)
    one[1:5, 1:4], one[1:5, 4:7] = 1, 2
    expected = np.zeros((6, 8), bool)
    expected[1:5, 3:5] = True
    np.testing.assert_array_equal(seams(one), expected)
    assert not seams(np.where(one == 2, 0, one)).any()
    assert seams(one, 2).sum() == 16


# Augmentation

torch = pytest.importorskip("torch")


def batch(n=4):
    samples = list(StreetScenes(n, seed=1))
    images = torch.as_tensor(np.stack([s.image for s in samples]))
    masks = torch.as_tensor(np.stack([s.mask for s in samples]))
    return images.permute(0, 3, 1, 2), masks


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize("scale", [1, 255])
def test_augment_keeps_shapes_types_and_arguments(dtype, scale):
    images, masks = batch()
    images = images if scale == 1 else images.float() / scale
    masks = masks.to(dtype)
    before = images.clone(), masks.clone()
    new = Augment()(images, masks)
    assert all(type(t) is torch.Tensor for t in new)
    assert [t.shape for t in new] == [images.shape, masks.shape]
    assert [t.dtype for t in new] == [images.dtype, masks.dtype]
    assert torch.equal(images, before[0]) and torch.equal(masks, before[1])


def test_augment_invents_no_labels_and_leaves_void_outside():
    torch.manual_seed(0)
    masks = torch.full((16, 60, 80), 4)
    masks[:, ::2] = 9
    images = torch.ones(16, 3, 60, 80)
    new, labels = Augment(colour=0)(images, masks)
    assert set(labels.unique().tolist()) == {4, 9, VOID}
    dark = new.sum(1) < 0.1
    assert (labels[dark] == VOID).all()
    assert (new.sum(1)[labels == VOID] < 2.9).float().mean() > 0.9


def test_augment_moves_the_mask_with_the_image():
    torch.manual_seed(1)
    images, masks = torch.zeros(40, 3, 90, 110), torch.zeros(40, 90, 110).int()
    images[:, :, 30:35, 70:75], masks[:, 30:35, 70:75] = 1, 7
    for image, mask in zip(*Augment(colour=0, turn=10)(images, masks)):
        light = torch.nonzero(image[0] > 0.5).float().mean(0)
        label = torch.nonzero(mask == 7).float().mean(0)
        assert (light - label).abs().max() < 0.75


def test_augment_gives_each_image_its_own_transform():
    torch.manual_seed(2)
    images, masks = batch(1)
    new, _ = Augment()(images.repeat(6, 1, 1, 1), masks.repeat(6, 1, 1))
    assert len({t.numpy().tobytes() for t in new}) == 6


def test_augment_repeats_with_its_seed_and_does_nothing_at_zero():
    images, masks = batch()
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(Augment()(images, masks))
    assert torch.equal(results[0][0], results[1][0])
    still = Augment(flip=0, turn=0, zoom=(1, 1), shift=0, colour=0)
    new, labels = still(images, masks)
    assert torch.equal(new, images) and torch.equal(labels, masks)


def test_augment_flips_the_mask_too():
    images, masks = batch()
    new, labels = Augment(flip=1, turn=0, zoom=(1, 1), shift=0, colour=0)(
        images, masks)
    assert torch.equal(new, images.flip(-1))
    assert torch.equal(labels, masks.flip(-1))


def test_augment_names_a_mask_of_another_size():
    images, masks = batch()
    with pytest.raises(ValueError, match="masks are"):
        Augment()(images, masks[:, :-1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_augment_stays_on_the_device():
    images, masks = (t.cuda() for t in batch())
    new, labels = Augment()(images, masks)
    assert new.is_cuda and labels.is_cuda


def test_classes_are_camvids_and_two_more():
    assert len(CLASSES) == 13 and CLASSES[-2:] == ("water", "boat")
