/**
 * Keyboard shortcuts of all pages. Letters are those of the physical keys, so that they work in any
 * layout; they pause in fields, dialogs and compositions, and can be turned off (WCAG 2.1.4).
 */

import { goto } from "$app/navigation";
import { page } from "$app/state";
import { session } from "#lib/session.svelte.ts";
import { AREAS } from "./areas.ts";

/** Keys of the areas after `g`. */
export const AREA_KEYS = {
  start: "s",
  data: "d",
  train: "t",
  jobs: "j",
  evals: "e",
  playground: "p",
  models: "m",
  admin: "a",
} as const satisfies Record<(typeof AREAS)[number]["name"], string>;

const STORED = "finetuned.shortcuts";
/** Time for the letter after `g`. */
const NEXT_MS = 1500;

/** The areas that the role of the person may see. */
export function visibleAreas() {
  return AREAS.filter(({ needs }) => needs === null || session.can(needs));
}

class Shortcuts {
  isHelpOpen = $state(false);
  isPaletteOpen = $state(false);
  #isOn = $state(localStorage.getItem(STORED) !== "off");
  #goesUntil = 0;

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Whether single keys do something. Ctrl K and ⌘ K always do. */
  set isOn(isOn: boolean) {
    this.#isOn = isOn;
    if (isOn) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, "off");
  }

  handle(event: KeyboardEvent): void {
    // 229: a key that an input method handles, in browsers that do not set isComposing.
    if (event.isComposing || event.keyCode === 229 || event.defaultPrevented) return;
    if ((event.ctrlKey || event.metaKey) && event.code === "KeyK" && !session.isExpired) {
      event.preventDefault();
      this.isHelpOpen = false;
      this.isPaletteOpen = !this.isPaletteOpen;
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || !this.#isOn || isTyping(event)) return;
    if (this.#act(event)) event.preventDefault();
  }

  #act(event: KeyboardEvent): boolean {
    const isGoing = performance.now() < this.#goesUntil;
    this.#goesUntil = 0;
    if (isGoing) {
      const area = visibleAreas().find(
        ({ name }) => event.code === `Key${AREA_KEYS[name].toUpperCase()}`,
      );
      if (area) void goto(area.href);
      return area !== undefined;
    }
    if (event.key === "?") return (this.isHelpOpen = true);
    if (event.shiftKey) return false;
    if (event.code === "KeyG") {
      this.#goesUntil = performance.now() + NEXT_MS;
      return true;
    }
    if (event.code === "KeyC") return create();
    if (event.key === "/" || event.code === "Slash") return filter();
    return false;
  }
}

function isTyping({ target }: KeyboardEvent): boolean {
  if (document.querySelector("dialog[open]")) return true;
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      target.closest("input:not([type='checkbox'], [type='radio']), textarea, select") !== null)
  );
}

/** Do what the page is for creating, or else begin a training. */
function create(): boolean {
  const isList = page.url.pathname.split("/").length <= 3;
  const primary = document.querySelector<HTMLElement>("#content header .button.primary");
  if (isList && primary) primary.click();
  else if (session.can("fine_tuning.write")) void goto("/console/train");
  else return false;
  return true;
}

function filter(): boolean {
  const field = document.querySelector<HTMLInputElement>(
    "#content :is([data-filter], input[type='search'])",
  );
  field?.focus();
  field?.select();
  return field !== null;
}

export const shortcuts = new Shortcuts();
