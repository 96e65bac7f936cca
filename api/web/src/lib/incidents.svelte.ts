/* Incidents across farms as this person may see them: asked again with the tag of the last answer, changed by answering. */
import { send, take } from "./api";
import { concerns, joinRows, putFarm, type Answer, type Incident, type IncidentFarm, type IncidentPage } from "./incidents";

const LIMIT = 20;
const part = encodeURIComponent;

export class Incidents {
  rows = $state.raw<Incident[]>([]);
  next = $state<string | null>(null);
  /** Whether there was an answer at all. */
  known = $state(false);
  open = $derived(this.rows.filter(concerns));
  #tag = "";
  #round = 0;

  /** The newest again. Only what was asked last, and after what was changed here, is taken. */
  async ask(): Promise<void> {
    const round = ++this.#round;
    const answer = await send("GET", `/incidents?limit=${LIMIT}`, undefined, this.#tag ? { "If-None-Match": this.#tag } : {});
    if (round !== this.#round || answer.status === 304) return;
    const page = (await answer.json()) as IncidentPage;
    if (round !== this.#round) return;
    this.#tag = answer.headers.get("ETag") ?? "";
    this.rows = page.rows; // what was read further back may be shown no more: it is read again
    this.next = page.next;
    this.known = true;
  }

  async more(): Promise<void> {
    if (this.next === null) return;
    const page = await take<IncidentPage>("GET", `/incidents?limit=${LIMIT}&cursor=${part(this.next)}`);
    this.rows = joinRows(this.rows, page.rows);
    this.next = page.next;
  }

  async answer(incident: string, site: string, answer: Answer): Promise<void> {
    const farm = await take<IncidentFarm>("POST", `/sites/${part(site)}/incidents/${part(incident)}/answer`, { answer });
    this.#round += 1;
    this.#tag = "";
    this.rows = putFarm(this.rows, incident, farm);
  }

  forget(): void {
    this.#round += 1;
    this.#tag = "";
    this.rows = [];
    this.next = null;
    this.known = false;
  }
}
