/** Whether the API answers. While it does not, a banner says so, and `/livez` is asked. */

const FIRST_WAIT_S = 2;
const LONGEST_WAIT_S = 10;
/** How long a request may take before `/livez` is asked, and how long that may take. */
const PATIENCE_MS = 5000;
const ALIVE_MS = 10_000;

class Connection {
  isOnline = $state(true);
  /** Seconds until the next attempt. */
  secondsLeft = $state(0);
  #wait = FIRST_WAIT_S;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #back = new Set<() => void>();

  lost(): void {
    if (!this.isOnline) return;
    this.isOnline = false;
    this.#wait = FIRST_WAIT_S;
    this.#countDown();
  }

  found(): void {
    if (this.isOnline) return;
    clearInterval(this.#timer);
    this.isOnline = true;
    for (const call of this.#back) call();
  }

  /**
   * Begin to wait for the API, which may hang instead of refusing. Returns what ends the wait; while
   * it lasts long, `/livez` is asked.
   */
  wait(): () => void {
    const timer = setTimeout(async () => (await isAlive()) || this.lost(), PATIENCE_MS);
    return () => clearTimeout(timer);
  }

  /** Call a function each time that the API answers again. Returns what ends that. */
  onBack(call: () => void): () => void {
    this.#back.add(call);
    return () => this.#back.delete(call);
  }

  async retry(): Promise<void> {
    clearInterval(this.#timer);
    this.secondsLeft = 0;
    if (await isAlive()) return this.found();
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_S);
    this.#countDown();
  }

  #countDown(): void {
    clearInterval(this.#timer);
    this.secondsLeft = this.#wait;
    this.#timer = setInterval(() => {
      this.secondsLeft -= 1;
      if (this.secondsLeft <= 0) void this.retry();
    }, 1000);
  }
}

async function isAlive(): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ALIVE_MS);
    return (await fetch("/livez", { cache: "no-store", signal })).ok;
  } catch {
    return false;
  }
}

export const connection = new Connection();
