"""Texts that a message may hold and that want to act when they are shown."""

from collections.abc import Iterator

# A host that must never be asked, and a script that must never run.
FOREIGN = "evil.example"
_SCRIPT = "window.hacked=1"
_ADDRESSES = [
    f"javascript:{_SCRIPT}",
    f"JaVaScRiPt:{_SCRIPT}",
    f" javascript:{_SCRIPT}",
    f"java\tscript:{_SCRIPT}",
    f"\x01javascript:{_SCRIPT}",
    f"&#106;avascript:{_SCRIPT}",
    f"&#x6A;avascript&colon;{_SCRIPT}",
    f"javascript%3A{_SCRIPT}",
    f"javascript:%0a{_SCRIPT}",
    f"vbscript:{_SCRIPT}",
    f"data:text/html,<script>{_SCRIPT}</script>",
    "data:text/html;base64,PHNjcmlwdD53aW5kb3cuaGFja2VkPTE8L3NjcmlwdD4=",
    f"data:image/svg+xml,<svg onload={_SCRIPT}>",
    "data:image/png;base64,iVBORw0KGgo=",
    f"blob:http://{FOREIGN}/1",
    "file:///etc/passwd",
    "about:blank",
    f"view-source:http://{FOREIGN}/",
    f"filesystem:http://{FOREIGN}/",
    f"intent://{FOREIGN}/#Intent;end",
    f"//{FOREIGN}/",
    f"\\\\{FOREIGN}\\",
    f"http://{FOREIGN}/a.png",
    f"https://user:word@{FOREIGN}:8443/x?y#z",
    f'https://{FOREIGN}/"onmouseover="{_SCRIPT}',
    f"https://{FOREIGN}/'><script>{_SCRIPT}</script>",
    f"mailto:x@{FOREIGN}?body=<script>{_SCRIPT}</script>",
    "/logout",
    "?token=1",
    "#1",
]
_FORMS = [
    "[text]({})",
    "[text](<{}>)",
    "![text]({})",
    "![text](<{}> 'title')",
    "<{}>",
    "{}",
    "[text][1]\n\n[1]: <{}>",
    "[![text](<{0}>)](<{0}>)",
    '<a href="{}">text</a>',
    '<img src="{}">',
    "| a |\n|---|\n| [x](<{}>) |",
    "```{0}\n{0}\n```",
]
_HTML = [
    f"<script>{_SCRIPT}</script>",
    f"<script src=//{FOREIGN}/x.js></script>",
    f"<img src=x onerror={_SCRIPT}>",
    f"<img src=//{FOREIGN}/a.png>",
    f"<svg onload={_SCRIPT}>",
    f"<svg><script>{_SCRIPT}</script></svg>",
    f"<svg><use href=//{FOREIGN}/x.svg#a></svg>",
    f"<svg><animate onbegin={_SCRIPT} attributeName=x dur=1s>",
    f"<math><a xlink:href=javascript:{_SCRIPT}>x</a></math>",
    f"<iframe src=javascript:{_SCRIPT}></iframe>",
    f"<iframe srcdoc='<script>parent.{_SCRIPT}</script>'></iframe>",
    f"<object data=//{FOREIGN}/x></object>",
    f"<embed src=//{FOREIGN}/x>",
    f"<link rel=stylesheet href=//{FOREIGN}/x.css>",
    f"<style>@import '//{FOREIGN}/x.css';</style>",
    f"<div style=background:url(//{FOREIGN}/a.png)>x</div>",
    f"<meta http-equiv=refresh content='0;url=//{FOREIGN}/'>",
    f"<base href=//{FOREIGN}/>",
    f"<form action=//{FOREIGN}/><button>x</button></form>",
    f"<button formaction=javascript:{_SCRIPT}>x</button>",
    f"<input autofocus onfocus={_SCRIPT}>",
    f"<details open ontoggle={_SCRIPT}>x</details>",
    f"<video poster=//{FOREIGN}/a.png><source onerror={_SCRIPT}></video>",
    f"<audio src=//{FOREIGN}/a.ogg autoplay></audio>",
    f"<body onload={_SCRIPT}>",
    f"<marquee onstart={_SCRIPT}>x</marquee>",
    f"<template><script>{_SCRIPT}</script></template>",
    f"<noscript><p title='</noscript><img src=x onerror={_SCRIPT}>'>",
    f"<textarea></textarea><img src=x onerror={_SCRIPT}>",
    f"<!--><img src=x onerror={_SCRIPT}>-->",
    f"<![CDATA[><img src=x onerror={_SCRIPT}>]]>",
    f"</p></div></article><script>{_SCRIPT}</script>",
    f"<x-y onclick={_SCRIPT}>x</x-y>",
    f"<a href=# ping=//{FOREIGN}/>x</a>",
    f"<dialog open><form method=dialog><button onclick={_SCRIPT}>x",
    f"{{{{constructor.constructor('{_SCRIPT}')()}}}}",
    f"${{{_SCRIPT}}}",
    f"<%= {_SCRIPT} %>",
    '{"__proto__": {"hacked": 1}, "constructor": null, "type": "script"}',
    f'{{"dangerouslySetInnerHTML": {{"__html": "<img onerror={_SCRIPT}>"}}}}',
]
_SHAPES = [
    "[" * 500,
    ">" * 500 + "x",
    "*" * 1_000 + "x",
    "- " * 300 + "x",
    "`" * 999,
    "![" * 200 + "](x)" * 200,
    "\u202e" + "gpj.exe" + "\u2066" * 20,
    "a" + "\u0300" * 1_000,
    "|" * 300 + "\n" + "|-" * 300 + "|\n" + "|x" * 300,
    "```\n" * 41,
    "```\x00<script>\n```",
    "~~~ javascript:alert(1)\nx",
    "# " * 7 + "x",
    "1000000000. x\n-1. y\n007. z",
    "<" * 500 + ">" * 500,
    "https://" + "a." * 400 + "example",
    "[x]: y\n" * 300,
    "&#0;&#xD800;&#x110000;&nosuch;&amp;amp;",
    "W" * 2_000,
    "\n" * 1_000 + "x",
]


def hostile_texts() -> Iterator[str]:
    """Yield about 400 texts: addresses in the forms of Markdown, HTML, odd shapes."""
    for form in _FORMS:
        for address in _ADDRESSES:
            yield form.format(address)
    yield from _HTML
    for text in _HTML:
        yield f"> 1. **{text}** `{text}`\n>    ```html\n>    {text}\n>    ```"
    yield from _SHAPES
