ADDRESSES_AND_ENTITIES = {
    "(see https://a.example/b_(c)).": "https://a.example/b_(c)",
    "**http://a.example/x?y=1&z={z}#e**, mailto:me@a.example!": (
        "http://a.example/x?y=1&z={z}#e mailto:me@a.example"
    ),
    "https://a.example。次の文": "https://a.example",
    "https://ö.example/ü HTTPS://A.EXAMPLE": "https://ö.example/ü HTTPS://A.EXAMPLE",
    "xhttp://a.example http:// https://) setup.py www.a.example me@a.example": "",
    f"http://{'a' * 2_000}": "",
    "&eacute;": "é",
    "&mdash;": "—",
    "&lang;": "⟨",
    "&nbsp;": "\xa0",
    "&yuml;": "ÿ",
    "&lbrack;": "[",
    "&unknown;": "&unknown;",
}


def test_the_start_runs_under_its_policy_and_asks_nobody_else(page):
    page.on("requestfailed", lambda request: page.complaints.append(request.url))
    page.goto("/")
    page.locator("#app > *").first.wait_for()


def test_every_library_can_be_imported_under_the_policy(page):
    page.goto("/")
    page.locator("#app > *").first.wait_for()
    names = page.evaluate(
        """async () => {
            const text = document.querySelector('script[type=importmap]').textContent;
            const names = Object.keys(JSON.parse(text).imports);
            const found = names.map((name) =>
                name.endsWith('/') ? `${name}python.js` : name);
            for (const name of found) await import(name);
            return found;
        }"""
    )
    assert {"preact", "highlight.js/python.js", "uplot"} <= set(names)


def test_bare_addresses_and_entities_are_read_as_the_full_library_does(page):
    page.goto("/")
    page.locator("#app > *").first.wait_for()
    found = page.evaluate(
        """async texts => {
            const { LinkifyIt } = await import("linkify-it");
            const { decodeHTMLStrict } = await import("entities");
            const addresses = new LinkifyIt();
            return texts.map(text => [text, text.startsWith("&")
                ? decodeHTMLStrict(text)
                : addresses.match(text).map(each => each.url).join(" ")]);
        }""",
        list(ADDRESSES_AND_ENTITIES),
    )
    assert dict(found) == ADDRESSES_AND_ENTITIES


def test_the_policy_refuses_text_as_html(page):
    page.goto("/")
    page.locator("#app > *").first.wait_for()
    refused = page.evaluate(
        """() => {
            try { document.createElement('p').innerHTML = '<b>x</b>'; }
            catch (error) { return error instanceof TypeError; }
        }"""
    )
    assert refused is True
    assert page.evaluate("violations.splice(0)") == ["require-trusted-types-for"]
    assert "TrustedHTML" in page.complaints.pop()
