"""The web UI for everybody: axe-core, both themes, a phone, and large text."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.support import LiveServer
from tests.support.ui_states import Store, states

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 375, "height": 667},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
AXE_RUN = """async () => {
    const {violations} = await axe.run({resultTypes: ["violations"]});
    return violations.flatMap(({id, nodes}) =>
        nodes.map(({target, html}) => `${id} ${target} ${html.slice(0, 100)}`));
}"""
SMALL_TARGETS = """() => {
    const all = [...document.querySelectorAll(
        "a, button, input, select, textarea, summary, [role=option]")];
    const isShown = each => each.checkVisibility({
        opacityProperty: true, visibilityProperty: true}) &&
        !each.closest(".visually-hidden, .skip");
    // Links in a sentence have no size of their own, as WCAG 2.5.8 says.
    const isInText = each => each.matches(".md a, .gone a");
    return all.filter(each => isShown(each) && !isInText(each))
        .map(each => each.labels?.[0]?.contains(each) ? each.labels[0] : each)
        .filter(each => {
            const {width, height} = each.getBoundingClientRect();
            return width > 0 && (width < 43.5 || height < 43.5);
        })
        .map(each => `${each.className} ${each.textContent.trim().slice(0, 30)}`);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with LiveServer(folder, workers="1", auth="api-key") as started:
        yield started


@pytest.fixture(scope="module")
def store(server):
    return Store(server)


@pytest.fixture(scope="module")
def login(browser, store):
    return store.login(browser)


def axe_violations(page):
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    return page.evaluate(AXE_RUN)


# Colours do not depend on the device, nor elements on the theme: two walks meet all.
@pytest.mark.parametrize(
    ("device", "theme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_no_state_has_a_violation(open_page, store, login, device, theme):
    found = {}
    device = {**device, "color_scheme": theme, "storage_state": login}
    page = open_page(**device)
    for name in states(page, store):
        complaints = axe_violations(page)
        if device.get("has_touch"):
            small = page.evaluate(SMALL_TARGETS)
            complaints += [f"smaller than 44 px: {each}" for each in small]
        for width in (device["viewport"]["width"], 320):
            page.set_viewport_size({**device["viewport"], "width": width})
            if page.evaluate("document.documentElement.scrollWidth") > width:
                complaints.append(f"wider than {width} px")
        page.set_viewport_size(device["viewport"])
        if complaints:
            found[name] = sorted(set(complaints))
    assert found == {}


def test_20_the_composer_stays_above_the_keyboard_of_a_phone(open_page, store, login):
    page = open_page(storage_state=login, **PHONE)
    page.goto("/")
    page.locator("a.row", has_text="Everything").click()
    page.locator("#composer").wait_for()
    tag = page.evaluate("document.activeElement.tagName")
    assert tag not in ("TEXTAREA", "INPUT")
    page.set_viewport_size({"width": 375, "height": 300})
    page.locator("#composer").click()
    place = page.locator("form.composer").bounding_box()
    assert 0 <= place["y"] < place["y"] + place["height"] <= 300


def test_the_stored_theme_holds_before_the_first_paint(open_page, login):
    page = open_page(storage_state=login, color_scheme="light")
    page.goto("/settings")
    page.get_by_label("Dark", exact=True).check()
    # Without the modules nothing but theme.js can have set it.
    page.route("**/ui/app.js", lambda route: route.abort())
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    assert page.evaluate(scheme) == "dark"


def test_forced_colours_keep_the_ring_and_what_is_chosen(open_page, login):
    forced = {"forced_colors": "active", "reduced_motion": "reduce"}
    page = open_page(storage_state=login, **forced)
    page.goto("/")
    page.locator("a.row").first.focus()
    page.keyboard.press("j")
    style = "getComputedStyle(document.activeElement)"
    assert page.evaluate(f"{style}.outlineStyle") == "solid"
    assert page.evaluate(f"{style}.outlineWidth") == "2px"
    width = "each => parseFloat(getComputedStyle(each).borderTopWidth)"
    chosen, other = page.locator(".filters .chip").all()[:2]
    assert chosen.evaluate(width) > other.evaluate(width)
    moving = "document.getAnimations().length"
    assert page.evaluate(moving) == 0
