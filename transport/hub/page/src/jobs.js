// A bounded set of workers over a queue of jobs that may have to be run again.
// The most urgent job that is due goes first.

/**
 * Waits between tries: doubles from `first` to at most `most`, and takes a
 * random share of the upper half, so that many pages do not ask in step.
 */
export function backoff(tries, { first, most }, random = Math.random) {
  const whole = Math.min(most, first * 2 ** Math.min(tries, 30));
  return whole / 2 + (whole / 2) * random();
}

/** Waits for ms, or rejects with the signal's reason. */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(done, ms);
    function done() {
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
}

export class Jobs {
  #jobs = new Map();
  #running = 0;
  #timer = null;
  #workers;
  #signal;

  constructor({ workers, signal }) {
    this.#workers = workers;
    this.#signal = signal;
    signal.addEventListener("abort", () => {
      clearTimeout(this.#timer);
      this.#jobs.clear();
    }, { once: true });
  }

  /** How many jobs there are, running or not. */
  get size() {
    return this.#jobs.size;
  }

  /**
   * Adds a job, unless one of that name is there.
   * @param {string} name
   * @param {number} urgency larger goes first
   * @param {() => Promise<number|null>} run gives null when the job is over, else
   *   how many milliseconds later to run it again
   */
  add(name, urgency, run, delay = 0) {
    if (this.#signal.aborted || this.#jobs.has(name)) return;
    this.#jobs.set(name, { name, urgency, run, due: performance.now() + delay, running: false });
    this.#pump();
  }

  #pump() {
    clearTimeout(this.#timer);
    const now = performance.now();
    while (this.#running < this.#workers) {
      const job = this.#next(now);
      if (!job) break;
      this.#start(job);
    }
    const waiting = [...this.#jobs.values()].filter((j) => !j.running && j.due > now);
    if (waiting.length > 0) {
      this.#timer = setTimeout(() => this.#pump(), Math.max(1, Math.min(...waiting.map((j) => j.due)) - now));
    }
  }

  #next(now) {
    let best = null;
    for (const job of this.#jobs.values()) {
      if (!job.running && job.due <= now && (best === null || job.urgency > best.urgency)) best = job;
    }
    return best;
  }

  async #start(job) {
    job.running = true;
    this.#running++;
    let again = null;
    try {
      again = await job.run();
    } catch (err) {
      console.error(`job ${job.name}:`, err); // a fault of ours: the job is over, the others go on
    } finally {
      this.#running--;
      job.running = false;
      if (again === null) this.#jobs.delete(job.name);
      else job.due = performance.now() + again;
      if (!this.#signal.aborted) this.#pump();
    }
  }
}
