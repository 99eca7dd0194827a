import html.parser

from landmark_tf.reports.page import Page

PNG = b"\x89PNG\r\n"


class Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.texts, self.images = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes)["src"])
        elif tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th", "h1", "h2", "p"):
            self.texts.append(data)


def read(page):
    reader = Reader()
    reader.feed(page.text())
    assert reader.open == []
    return reader


def test_a_page_says_what_it_was_given():
    page = Page("A <title>")
    page.section("One & two", "why <b>")
    page.table(("name", "n"), [("<script>", 1234), ("x", 0.5)])
    page.picture(PNG, 'a "picture"')
    reader = read(page)
    assert reader.texts == [
        "A <title>",
        "One & two",
        "why <b>",
        *("name", "n", "<script>", "1,234", "x", "0.5000"),
    ]
    assert reader.images == ["data:image/png;base64,iVBORw0K"]


def test_nothing_is_fetched_from_elsewhere():
    page = Page("x")
    page.section("y")
    page.table(("z",), [(b"\xff\xd8jpeg",), ("",), (float("nan"),)])
    text = page.text()
    assert "http" not in text and 'src="data:image/jpeg' in text
    assert '<td class="number">-</td>' in text
    assert read(page).images
