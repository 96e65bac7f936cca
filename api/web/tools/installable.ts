/* A Vite plugin: what makes the built page installable and able to start without a network.
 *
 * Emits the icons and the web manifest, and tells the service worker which files this build has. The worker's own
 * content then changes with each build, which is how browsers notice a new one.
 */
import { createHash } from "node:crypto";
import type { Plugin } from "vite";

import { iconPng, iconSvg } from "./icons.ts";

const MANIFEST = {
  name: "まきば 牧場の 見守り",
  short_name: "まきば",
  description: "牛舎と 畑の センサーを 見守ります / watches over barns and fields",
  lang: "ja",
  id: "/",
  start_url: "/",
  scope: "/",
  display: "standalone",
  background_color: "#faf6ec",
  theme_color: "#1f4a34",
  icons: [
    { src: "/icon.svg", sizes: "any", type: "image/svg+xml" },
    { src: "/icon-192.png", sizes: "192x192", type: "image/png" },
    { src: "/icon-512.png", sizes: "512x512", type: "image/png" },
    { src: "/icon-512.png", sizes: "512x512", type: "image/png", purpose: "maskable" },
  ],
};

export function installable(): Plugin {
  return {
    name: "makiba-installable",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const emit = (fileName: string, source: string | Uint8Array): void => {
          this.emitFile({ type: "asset", fileName, source });
        };
        emit("icon.svg", iconSvg());
        for (const side of [180, 192, 512]) emit(`icon-${side}.png`, iconPng(side));
        emit("manifest.webmanifest", `${JSON.stringify(MANIFEST, null, 1)}\n`);

        const worker = bundle["sw.js"];
        if (worker?.type !== "chunk") this.error("the service worker is not in the bundle");
        const hashed = Object.keys(bundle).filter((name) => name.startsWith("assets/")).sort();
        const files = ["/", "/manifest.webmanifest", "/icon.svg", ...hashed.map((name) => `/${name}`)];
        const page = bundle["index.html"];
        const html = page?.type === "asset" ? page.source : "";
        const version = createHash("sha256").update(files.join("\n")).update(html).digest("hex").slice(0, 12);
        const facts = JSON.stringify({ version, files });
        if (!/["'`]__MAKIBA_BUILD__["'`]/.test(worker.code)) this.error("the service worker lost its place for the file list");
        worker.code = worker.code.replace(/["'`]__MAKIBA_BUILD__["'`]/, () => JSON.stringify(facts));
      },
    },
  };
}
