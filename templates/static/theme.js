// Sets the chosen theme before anything is painted. Not a module: modules run too late for that.
(() => {
  const root = document.documentElement;
  root.classList.add("scripts");
  try {
    const chosen = localStorage.getItem("specola-theme");
    if (chosen === "light" || chosen === "dark" || chosen === "system") root.dataset.theme = chosen;
    const gone = JSON.parse(localStorage.getItem("specola-dismissed") || "[]").filter((id) => /^[0-9a-f]{16}$/.test(id));
    if (gone.length) {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(gone.map((id) => `[data-announcement="${id}"]`).join() + "{display:none}");
      document.adoptedStyleSheets = [sheet];
    }
  } catch {
    // Without storage the page is as the server sent it.
  }
})();
