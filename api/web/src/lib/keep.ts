/* What this device keeps: the person's choices, and the last known state of each farm for when there is no network.
 *
 * Kept state is small (values and active alerts, no history), belongs to one person and is deleted on sign-out. A full
 * or forbidden storage costs the offline view, never the page.
 */
import type { Alert, Places, Session } from "./contract";

export type TextSize = "normal" | "large" | "largest";

export interface Choices {
  language: "ja" | "en" | null;
  textSize: TextSize;
  vibrate: boolean;
  site: string | null;
}

export interface Kept {
  version: 1;
  session: Session;
  /** Server's time when this was true. */
  time_ms: number;
  site: string;
  places: Places;
  alerts: Alert[];
}

export interface Shelf {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

const CHOICES = "makiba.choices";
const STATE = "makiba.state";
const DEFAULTS: Choices = { language: null, textSize: "normal", vibrate: true, site: null };

export class Keep {
  constructor(private readonly shelf: Shelf | null) {}

  choices(): Choices {
    const kept = this.#read<Partial<Choices>>(CHOICES) ?? {};
    return { ...DEFAULTS, ...kept };
  }

  setChoices(choices: Choices): void {
    this.#write(CHOICES, choices);
  }

  state(): Kept | null {
    const kept = this.#read<Kept>(STATE);
    return kept?.version === 1 ? kept : null;
  }

  setState(kept: Kept): void {
    this.#write(STATE, kept);
  }

  forget(): void {
    try {
      this.shelf?.removeItem(STATE);
    } catch {
      // nothing was kept then
    }
  }

  #read<T>(key: string): T | null {
    try {
      const text = this.shelf?.getItem(key);
      return text ? (JSON.parse(text) as T) : null;
    } catch {
      return null;
    }
  }

  #write(key: string, value: unknown): void {
    try {
      this.shelf?.setItem(key, JSON.stringify(value));
    } catch {
      // full or forbidden: the page works without
    }
  }
}

/** The browser's storage, or null where it is switched off (reading the property throws then). */
export function browserShelf(): Shelf | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}
