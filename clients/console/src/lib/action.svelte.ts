/** Something that a person starts with a button or a form: whether it runs, and why it failed. */
export class Action<Given extends unknown[] = []> {
  busy = $state(false);
  error: unknown = $state.raw(null);
  readonly #work: (...given: Given) => Promise<unknown>;
  readonly #onerror: ((error: unknown) => void) | undefined;

  /** `onerror` is for errors that have no place of their own on the page, such as `failed`. */
  constructor(work: (...given: Given) => Promise<unknown>, onerror?: (error: unknown) => void) {
    this.#work = work;
    this.#onerror = onerror;
  }

  readonly run = async (...given: Given): Promise<void> => {
    this.busy = true;
    this.error = null;
    try {
      await this.#work(...given);
    } catch (caught) {
      this.error = caught;
      this.#onerror?.(caught);
    } finally {
      this.busy = false;
    }
  };
}

/** Handler of a form that does something of the page's own. */
export function submitting(run: () => unknown): (event: SubmitEvent) => void {
  return (event) => {
    event.preventDefault();
    void run();
  };
}
