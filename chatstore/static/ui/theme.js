// Runs before the first paint: sets the theme and the reading width that are stored.
(() => {
  const read = (/** @type {string} */ name) => {
    try {
      return JSON.parse(localStorage.getItem("chatstore:" + name) ?? "null");
    } catch {
      return null;
    }
  };
  const root = document.documentElement;
  root.dataset.theme = ["light", "dark"].includes(read("theme")) ? read("theme") : "system";
  root.dataset.width = read("width") === "wide" ? "wide" : "normal";
})();
