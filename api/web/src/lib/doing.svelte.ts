/* One piece of work at a time, and what went wrong with it in words. */
import { TurnedAway } from "./account.svelte";
import { ApiError } from "./api";
import type { Word } from "./words";

export class Doing {
  busy = $state(false);
  problem = $state<Word | null>(null);
  /** What the server said, where we have no words of our own for it. */
  why = $state("");

  async now(work: () => Promise<unknown>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.problem = null;
    try {
      await work();
    } catch (error) {
      if (error instanceof ApiError) this.#tell(error);
      else if (!(error instanceof TurnedAway)) throw error;
    } finally {
      this.busy = false;
    }
  }

  #tell(error: ApiError): void {
    this.why = error.message;
    if (error.failure === "unreachable") this.problem = "sign_in_unreachable";
    else if (error.kind === "weak-password") this.problem = "weak_password";
    else if (error.kind === "not-proved") this.problem = "proof_wrong";
    else if (error.kind === "last-way-in") this.problem = "last_way_in";
    else if (error.status === 429) this.problem = "sign_in_refused";
    else this.problem = "refused_why";
  }
}
