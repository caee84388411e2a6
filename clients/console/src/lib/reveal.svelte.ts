/** Personal data of one row, shown for a minute. The service logs who asked before it answers. */

const SHOWN_S = 60;

export class Reveal<T> {
  /** The row with its personal data; null while it is masked. */
  row: T | null = $state.raw(null);
  /** Seconds until it is hidden again. */
  left = $state(0);
  isBusy = $state(false);
  error: unknown = $state(null);
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Counts requests, so that an answer that comes after `hide` is dropped. */
  #asked = 0;

  async show(read: () => Promise<T | null>): Promise<void> {
    const asked = ++this.#asked;
    this.isBusy = true;
    this.error = null;
    try {
      const row = await read();
      if (asked !== this.#asked || document.hidden) return;
      this.row = row;
      this.left = SHOWN_S;
      this.#timer = setInterval(() => {
        this.left -= 1;
        if (this.left <= 0) this.hide();
      }, 1000);
      document.addEventListener("visibilitychange", this.#hidden);
    } catch (error) {
      if (asked === this.#asked) this.error = error;
    } finally {
      this.isBusy = false;
    }
  }

  hide(): void {
    this.#asked += 1;
    clearInterval(this.#timer);
    document.removeEventListener("visibilitychange", this.#hidden);
    this.row = null;
    this.error = null;
  }

  readonly #hidden = (): void => {
    if (document.hidden) this.hide();
  };

  /** Put the masked text on the clipboard, also if the original is shown. */
  copied(event: ClipboardEvent): void {
    const selection = getSelection();
    if (!this.row || !selection || selection.isCollapsed || !event.clipboardData) return;
    const range = selection.getRangeAt(0);
    const parent = range.commonAncestorContainer;
    const element = parent instanceof Element ? parent : parent.parentElement;
    const inside = element?.closest<HTMLElement>("[data-mask]");
    const copy = range.cloneContents();
    for (const mark of copy.querySelectorAll<HTMLElement>("[data-mask]")) {
      mark.textContent = mark.dataset["mask"] ?? "";
    }
    copy.querySelectorAll("summary").forEach((summary) => summary.remove()); // is in the text too
    const blocks = [...copy.querySelectorAll("bdi")].map(({ textContent }) => textContent);
    const text = blocks.length > 0 ? blocks.join("\n\n") : copy.textContent;
    event.clipboardData.setData("text/plain", inside?.dataset["mask"] ?? text ?? "");
    event.preventDefault();
  }
}
