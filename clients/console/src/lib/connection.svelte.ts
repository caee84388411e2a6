/** Whether the API answers. While it does not, a banner says so, and `/livez` is asked. */

const FIRST_WAIT_S = 2;
const LONGEST_WAIT_S = 30;

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

  /** Call a function each time that the API answers again. Returns what ends that. */
  onBack(call: () => void): () => void {
    this.#back.add(call);
    return () => this.#back.delete(call);
  }

  async retry(): Promise<void> {
    clearInterval(this.#timer);
    this.secondsLeft = 0;
    try {
      const response = await fetch("/livez", { cache: "no-store" });
      if (!response.ok) throw new Error(String(response.status));
      this.found();
    } catch {
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_S);
      this.#countDown();
    }
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

export const connection = new Connection();
