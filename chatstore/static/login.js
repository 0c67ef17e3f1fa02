// Lets the login lead back to the whole address. Browsers keep its fragment across the
// redirect to this page, and send it to no server.
(() => {
  const { hash } = location;
  if (!hash) return;
  /** @type {NodeListOf<HTMLInputElement>} */
  const fields = document.querySelectorAll("input[name=next]");
  for (const each of fields) each.value += hash;
  /** @type {NodeListOf<HTMLAnchorElement>} */
  const links = document.querySelectorAll("a.provider");
  for (const each of links) {
    const url = new URL(each.href);
    url.searchParams.set("next", (url.searchParams.get("next") ?? "/") + hash);
    each.href = url.href;
  }
})();
