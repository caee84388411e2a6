/** Light, dark, or as in the system. Kept in this browser. */

type Choice = "system" | "light" | "dark";

const STORED = "finetuned.theme";

class Theme {
  #choice: Choice = $state("system");

  constructor() {
    const stored = localStorage.getItem(STORED);
    if (stored === "light" || stored === "dark") this.choice = stored;
  }

  get choice(): Choice {
    return this.#choice;
  }

  /** Whether pages are dark at present. */
  get isDark(): boolean {
    if (this.#choice !== "system") return this.#choice === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  set choice(choice: Choice) {
    this.#choice = choice;
    if (choice === "system") {
      localStorage.removeItem(STORED);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(STORED, choice);
      document.documentElement.dataset.theme = choice;
    }
  }
}

export const theme = new Theme();
