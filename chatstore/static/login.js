// Lets the login lead back to the whole address, and ends a login that cannot work.
(() => {
  const note = document.getElementById("plain");
  /** @type {NodeListOf<HTMLAnchorElement>} */
  const links = document.querySelectorAll("a.provider");
  // The server cannot see whether a proxy speaks HTTPS with the browser.
  if (location.protocol === "https:") note?.remove();
  else if (note) {
    // The browser would drop the cookie, so nobody should send a key in vain.
    for (const each of document.querySelectorAll("#key, #log-in")) each.setAttribute("disabled", "");
    for (const each of links) each.removeAttribute("href");
    return;
  }
  // Browsers keep the fragment across the redirect to this page, and send it to no server.
  const { hash } = location;
  if (!hash) return;
  /** @type {NodeListOf<HTMLInputElement>} */
  const fields = document.querySelectorAll("input[name=next]");
  for (const each of fields) each.value += hash;
  for (const each of links) {
    const url = new URL(each.href);
    url.searchParams.set("next", (url.searchParams.get("next") ?? "/") + hash);
    each.href = url.href;
  }
})();
