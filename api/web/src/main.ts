/* Starts the page: its state, its root, its service worker. */
import "./old_phones";
import { mount } from "svelte";

import App from "./App.svelte";
import { Farm } from "./lib/farm.svelte";
import { browserShelf, Keep } from "./lib/keep";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/incidents.css";
import "./styles/pages.css";

const farm = new Farm(new Keep(browserShelf()));
const target = document.getElementById("app");
if (!target) throw new Error("the page has no #app");
mount(App, { target, props: { farm } });
void farm.start();

// Drawing comes later and by itself; fetched ahead, a chart opens at once and also after a new version was installed.
window.setTimeout(() => void import("./lib/plot").catch(() => undefined), 3000);

if (import.meta.env.PROD && "serviceWorker" in navigator) {
  window.addEventListener("load", () => {
    navigator.serviceWorker.register("/sw.js").catch(() => undefined); // without it the page only needs the network
    if (!navigator.serviceWorker.controller) return;
    // A new version: taken when nobody is looking.
    navigator.serviceWorker.addEventListener("controllerchange", () => {
      const take = (): void => (document.hidden ? location.reload() : undefined);
      document.addEventListener("visibilitychange", take);
      take();
    });
  });
}
