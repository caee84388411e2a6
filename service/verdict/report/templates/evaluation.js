
"use strict";
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const fields = form.elements;
  const rows = [...document.querySelectorAll("#rows > article")];
  const texts = rows.map((row) => row.textContent.toLowerCase());

  function apply() {
    const text = fields.text.value.trim().toLowerCase();
    const outcome = fields.outcome.value;
    const rival = fields.rival.value;
    const language = fields.language ? fields.language.value : "";
    let shown = 0;
    rows.forEach((row, place) => {
      const matches =
        (!language || row.dataset.language === language) &&
        (!outcome || row.dataset[rival] === outcome) &&
        (!text || texts[place].includes(text));
      row.hidden = !matches;
      shown += matches ? 1 : 0;
    });
    fields.count.textContent = `${shown} of ${rows.length} rows`;
  }

  // The filters are kept in the address, so that a link shows the same rows.
  function read() {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      const field = fields.namedItem(name);
      if (field && name !== "count") field.value = value;
    }
    for (const field of form.querySelectorAll("select")) {
      if (field.selectedIndex < 0) field.selectedIndex = 0;
    }
    apply();
  }

  function write() {
    const chosen = [...new FormData(form)].filter(([, value]) => value);
    history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
    apply();
  }

  form.hidden = false;
  form.addEventListener("input", write);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", read);
  read();
})();
