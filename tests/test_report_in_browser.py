"""The report in a real browser: it fits, answers at a glance, and can be used by keyboard."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dask_distill import distill, open_dataset
from dask_distill.report.page import write_report
from tests.browser import opened_browser

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

CLASSES, FEATURES = 60, 300
OVER = """[...document.querySelectorAll('body *')].filter(each =>
    each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.scroll, pre')).length"""
# what can be read without scrolling
SEEN = """[...document.querySelectorAll('h1, h2, dt, dd strong, tbody th, tbody td, li')]
    .filter(each => each.getClientRects().length)
    .filter(each => each.getBoundingClientRect().bottom <= innerHeight)
    .map(each => each.textContent.trim())"""

# tag, colour, colour behind and size of what has text of its own
TEXTS = r"""[...document.querySelectorAll('body *')]
    .filter(each => !each.closest('svg, script, .unseen'))
    .filter(each => [...each.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()))
    .map(each => {
        let behind = each, ink = getComputedStyle(each);
        const paper = () => getComputedStyle(behind).backgroundColor;
        while (behind != document.body && paper() == 'rgba(0, 0, 0, 0)')
            behind = behind.parentElement;
        return [each.tagName, ink.color, paper(), parseFloat(ink.fontSize)];
    })"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    rng = np.random.default_rng(0)
    rows = 4000
    share = 1 / np.arange(1, CLASSES + 1)
    kinds = rng.choice(CLASSES, rows, p=share / share.sum())
    columns = {f"measured_feature_{i:03d}": rng.normal(size=rows) + kinds for i in range(FEATURES)}
    columns["kind"] = [f"kind {i:02d}" for i in kinds]
    pq.write_table(pa.table(columns), folder / "in.parquet")
    dataset = open_dataset(folder / "in.parquet", labels="kind")
    coreset = distill(dataset, fraction=0.1, strategy="stratified")
    write_report(coreset, folder / "report.html", dataset=dataset)
    return folder / "report.html", coreset


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.mark.parametrize("width", [390, 1366])
def test_report__of_many_classes_and_features_fits(page, browser, width):
    browser.open(page[0], width=width, height=800)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(OVER) == 0
    # how well each class is kept is seen without moving the table
    kept = "document.querySelector('table.kept tbody td').getBoundingClientRect().right"
    assert browser.run(kept) < width
    assert browser.run("document.documentElement.scrollHeight") < 7000
    assert browser.complaints() == []


def test_report__first_screen_answers(page, browser):
    coreset = page[1]
    browser.open(page[0], width=1366, height=768)
    seen = browser.run(SEEN)
    for words in ("Selected", "10.0%", "What is lost", "Least kept class", "Weighs like", "Cost"):
        assert words in seen
    table = coreset.provenance["classes"]
    worst = min(table, key=lambda entry: (entry["selected"] / entry["rows"], -entry["rows"]))
    assert worst["label"] in seen
    assert "Nothing to warn of" in seen or "To look at" in seen
    assert not any(words.startswith("Option") for words in seen)
    browser.open(page[0], width=390, height=844)
    assert {"Selected", "Least kept class", "Cost", worst["label"]} <= set(browser.run(SEEN))


def test_report__tables_unfold_sort_and_search_by_keyboard(page, browser):
    browser.open(page[0], width=1366, height=768)
    browser.run("document.querySelector('.search input').focus()")
    shown = "[...document.querySelectorAll('table.kept tbody tr')].filter(r => !r.hidden)"
    names = f"{shown}.map(r => r.cells[0].textContent)"
    first = browser.run(names)
    assert len(first) == 8
    browser.write("kind 5")
    assert sorted(browser.run(names)) == [f"kind {i}" for i in range(50, 60)]
    status = "document.querySelector('.search [role=status]').textContent"
    assert browser.run(status) == "10 of 60 classes"
    browser.run("document.querySelector('.search input').value = ''")
    browser.write(" ")
    # the scrolled region, and the head's buttons, in this order
    for _ in range(2):
        browser.press("Tab", 9)
    assert browser.run("document.activeElement.textContent") == "Class"
    browser.press("Enter", 13)
    assert browser.run(names)[:2] == ["kind 00", "kind 01"]
    assert browser.run("document.activeElement.closest('th').ariaSort") == "ascending"
    browser.press(" ", 32)
    assert browser.run(names)[:2] == ["kind 59", "kind 58"]
    for _ in range(5):
        browser.press("Tab", 9)
    assert browser.run("document.activeElement.textContent") == "Show all 60 classes"
    browser.press("Enter", 13)
    assert len(browser.run(names)) == 60
    assert browser.run("document.activeElement.getAttribute('aria-expanded')") == "true"


@pytest.mark.parametrize("dark", [False, True])
def test_report__text_has_contrast(page, browser, dark):
    """As the Web Content Accessibility Guidelines ask for: 4.5 to 1, and 3 to 1 for large text."""
    browser.open(page[0], width=1366, height=768, dark=dark)
    texts = browser.run(TEXTS)
    assert len(texts) > 500
    poor = {
        (tag, ink, paper)
        for tag, ink, paper, size in texts
        if contrast(rgb(ink), rgb(paper)) < (3 if size >= 24 else 4.5)
    }
    assert poor == set()


def rgb(text):
    return [int(part) for part in text[text.index("(") + 1 : text.index(")")].split(",")[:3]]


def contrast(one, other):
    """The ratio of two colours' relative luminances, as WCAG 2 has it."""
    light = []
    for color in (one, other):
        parts = np.asarray(color) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ (0.2126, 0.7152, 0.0722)) + 0.05)
    return max(light) / min(light)
