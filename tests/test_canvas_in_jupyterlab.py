"""The canvas in a real JupyterLab, in Chromium, by mouse, touch and keys."""
import shutil

import browser
import numpy as np
import pytest
from PIL import Image
from seglib.canvas import stroke
from seglib.datasets import SamplePictures
from seglib.display import VOID

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    not browser.chromium(), reason="needs Chromium on the path")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A server, a window, and a way to open cells as a notebook in it."""
    folder = tmp_path_factory.mktemp("lab")
    with browser.jupyterlab(folder) as (address, runtime):
        with browser.window(viewport={"width": 1000, "height": 1000},
                            has_touch=True) as page:
            yield Lab(folder, address, runtime, page)


class Lab:
    def __init__(self, folder, address, runtime, page):
        self.folder, self.page = folder, page
        self.address, self.runtime = address, runtime
        playwright.expect.set_options(timeout=browser.PATIENCE)

    def open(self, name, *cells):
        browser.open_notebook(self.page, self.address,
                              self.folder / f"{name}.ipynb", *cells)
        canvases = self.page.locator(".seglib-canvas")
        playwright.expect(canvases).to_have_count(len(cells))
        self.kernel = browser.Kernel(self.runtime)
        return [Shown(self.page, canvases.nth(i)) for i in range(len(cells))]

    def ask(self, expression):
        """Value of a Python expression in the notebook's kernel."""
        return eval(self.kernel.run(f"print(repr({expression}))"))


class Shown:
    """One canvas on the page, in pixels of its image."""

    def __init__(self, page, root):
        self.page, self.root = page, root
        self.stage = root.locator(".stage")
        self.stage.scroll_into_view_if_needed()
        _, _, *size = self.stage.get_attribute("viewBox").split()
        self.width, self.height = map(float, size)

    def at(self, x, y):
        """Where the middle of a pixel is on the screen."""
        box = self.stage.bounding_box()
        return (box["x"] + (x + 0.5) / self.width * box["width"],
                box["y"] + (y + 0.5) / self.height * box["height"])

    def drag(self, *places):
        self.stage.scroll_into_view_if_needed()
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place))
        self.page.mouse.up()

    def choose(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def says(self, text):
        """Wait until the sentence holds this, and nothing is under way."""
        playwright.expect(self.root.get_by_role("status")).to_contain_text(
            text)
        playwright.expect(self.root).not_to_have_attribute(
            "aria-busy", "true")

    def overlay(self):
        """Bytes of the mask that is shown."""
        return self.stage.locator(".overlay").evaluate("""async (image) => {
            const url = image.getAttribute("href");
            if (!url) return "";
            const bytes = await (await fetch(url)).arrayBuffer();
            return Array.from(new Uint8Array(bytes)).join(" "); }""")


TINY = """
import numpy as np
from seglib.canvas import BOX, FOREGROUND, Canvas, Slider, Tool
tiny = Canvas(np.tile(np.arange(8) % 2, (6, 1)) / 1.0, "Stripes.", pen=0.5,
              tools=[Tool("dot", "point", 1), BOX])
tiny"""
LARGE = """
large = Canvas(np.zeros((900, 4000, 3), np.uint8), "Night.",
               tools=[FOREGROUND, BOX])
large"""
SLIDER = """
from skimage import data
coins = data.coins()
slider = Canvas(coins, "Coins.", sliders=[
    Slider("t", 0, 255, 100, marks={"Otsu": 107})],
    segment=lambda s: coins > s.values["t"], classes=("cloth", "coin"))
slider"""


def test_places_sliders_and_names(lab):
    tiny, large, slider = lab.open("canvas", TINY, LARGE, SLIDER)
    try_places_on_a_tiny_picture(lab, tiny)
    try_places_on_a_large_picture(lab, large)
    try_the_slider(lab, slider)
    for canvas in tiny, large, slider:
        try_that_everything_has_a_name(canvas)
    try_that_text_can_be_read(lab, tiny)


def try_places_on_a_tiny_picture(lab, tiny):
    """Enlarged: every spot of a pixel is that pixel, by mouse and finger."""
    wanted = []
    for n, (x, y) in enumerate([(0, 0), (7, 5), (3.45, 2.55), (2.55, 3.45)]):
        tiny.drag((x, y))
        wanted.append((round(y), round(x)))
        tiny.says(f"{n + 1} dot")
    lab.page.touchscreen.tap(*tiny.at(5, 1))
    tiny.says("5 dot")
    assert lab.ask("tiny.points('dot')") == [*wanted, (1, 5)]
    tiny.stage.focus()
    tiny.press("ArrowRight", "ArrowUp", "Space")
    tiny.says("6 dot")
    assert lab.ask("tiny.points('dot')[-1]") == (2, 5)


def try_places_on_a_large_picture(lab, large):
    """Shrunk: a screen pixel is several of the image's, none is missed."""
    large.choose("box")
    large.drag((400, 100), (1600, 800))
    large.says("1 box")
    scale = 4000 / large.stage.bounding_box()["width"]
    assert scale > 2
    box = np.array(lab.ask("large.box"))
    assert abs(box - [100, 400, 801, 1601]).max() <= scale
    large.drag((-300, 100), (300, 300))             # begins outside: nothing
    large.drag((3000, 300), (5000, 2000))           # ends outside: cut
    large.says("2 box")
    assert lab.ask("large.box[2:]") == (900, 4000)
    large.choose("reset")
    large.says("nothing drawn")
    large.choose("undo")
    large.says("2 box")


def try_the_slider(lab, slider):
    seen = slider.overlay()
    slider.root.get_by_role("button", name="Otsu: 107").click()
    slider.says("t 107")
    assert slider.overlay() != seen
    slider.root.get_by_role("slider", name="t").focus()
    slider.press("ArrowRight", "ArrowRight", "ArrowRight")
    slider.says("t 110")
    assert lab.ask("int(slider.mask.sum())") == lab.ask(
        "int((coins > 110).sum())")


def try_that_everything_has_a_name(canvas):
    """As a screen reader is told it."""
    for line in canvas.root.aria_snapshot().splitlines():
        role, _, rest = line.strip(" -'").partition(" ")
        if role in ("group", "toolbar", "button", "application", "slider",
                    "img"):
            assert '"' in rest or ":" in rest, line


def try_that_text_can_be_read(lab, canvas):
    """Contrast of buttons and sentence in the light and the dark theme."""
    for theme in "Light", "Dark":
        lab.page.evaluate("name => window.jupyterapp.commands.execute("
                          "'apputils:change-theme', {theme: name})",
                          f"JupyterLab {theme}")
        lab.page.wait_for_selector(
            f'body[data-jp-theme-name="JupyterLab {theme}"]',
            state="attached")
        for locator in (canvas.root.get_by_role("button").first,
                        canvas.root.get_by_role("status")):
            browser.wait_for(lambda: locator.evaluate(CONTRAST) >= 4.5, 20)


CONTRAST = """node => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (colour) => colour.slice(0, 3).map((v) => v / 255).map(
        (v) => v <= 0.04 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce(
        (sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ink = rgb(getComputedStyle(node).color);
    let ground = [0, 0, 0, 0];
    for (; node && ground[3] === 0; node = node.parentElement) {
        ground = rgb(getComputedStyle(node).backgroundColor);
    }
    const [a, b] = [light(ink), light(ground)].sort((p, q) => q - p);
    return (a + 0.05) / (b + 0.05); }"""


GRABCUT = """
from seglib.datasets import SamplePictures
from seglib.grabcut import GrabCutWidget, grabcut
image = SamplePictures()["astronaut"].image[:360, :360]
w = GrabCutWidget(image, "An astronaut before a flag.")
w"""


def test_grabcut_by_mouse_and_by_keys(lab):
    [widget] = lab.open("grabcut", GRABCUT)
    says, first, corrected = try_to_cut_and_correct(lab, widget)
    picture = lab.folder / "corrected.png"
    widget.root.screenshot(path=picture)
    assert picture.stat().st_size > 50_000
    widget.choose("undo")
    widget.says(says)
    assert widget.overlay() == first
    widget.stage.focus()
    widget.press("Control+z")
    widget.says("nothing drawn")
    assert widget.overlay() == ""
    try_a_box_and_a_stroke_by_keys(lab, widget)
    try_to_save(lab, widget)


def try_to_cut_and_correct(lab, widget):
    widget.drag((95, 5), (330, 350))
    widget.says("thing")
    says = widget.root.get_by_role("status").inner_text()
    first = widget.overlay()
    assert lab.ask("w.box") == (5, 95, 351, 331)
    widget.choose("foreground")
    widget.drag((150, 220), (170, 250), (215, 272), (270, 250))
    widget.says("1 foreground")
    corrected = widget.overlay()
    assert first and corrected and first != corrected
    assert lab.ask("bool(w.mask[w.scribbles == 1].all())")
    drawn = stroke([(150, 220), (170, 250), (215, 272), (270, 250)],
                   (360, 360), 4)
    assert lab.ask("int((w.scribbles == 1).sum())") == drawn.sum()
    return says, first, corrected


def try_a_box_and_a_stroke_by_keys(lab, widget):
    """From the middle, (180, 180), in steps of a fiftieth: 8 pixels."""
    widget.press("1", *["ArrowLeft"] * 10, *["ArrowUp"] * 21, "Space",
                 *["ArrowRight"] * 28, *["ArrowDown"] * 42,
                 "Shift+ArrowDown", "Enter")
    widget.says("1 box")
    assert lab.ask("w.box") == (12, 100, 350, 325)
    widget.press("3", "Space", "ArrowUp", "ArrowUp", "Escape")  # dropped
    widget.press("3", "Space", *["ArrowUp"] * 4, "Space")
    widget.says("1 background")
    assert lab.ask("bool(w.mask[w.scribbles == 0].any())") is False
    assert lab.ask("[a.tool for a in w.acts]") == ["box", "background"]
    widget.root.get_by_role("slider", name="gamma").focus()
    widget.press(*["ArrowLeft"] * 10)
    widget.says("gamma 40")


def try_to_save(lab, widget):
    for name in "mask.png", "mask-2.png":
        widget.choose("save the mask")
        widget.says(f"Saved {name}.")
        saved = np.asarray(Image.open(lab.folder / name))
        assert saved.shape == (360, 360) and 0 < saved.mean() < 1
    again = ("grabcut(image, box=w.box, scribbles=w.scribbles,"
             " gamma=40).mask")
    assert lab.ask(f"bool((w.mask == {again}).all())")
    assert lab.ask(f"int({again}.sum())") == saved.sum()
