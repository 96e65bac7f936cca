/* Build: one page and its service worker into dist/, for phones as old as Chrome 80 and Safari 14.
 *
 * Development: `npm run fake` serves a farm of its own; `npm run dev` passes /api to a running Makiba (MAKIBA_API).
 */
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { ProxyOptions } from "vite";
import { defineConfig } from "vitest/config";

import { fakeFarm } from "./dev/fake_farm.ts";
import { installable } from "./tools/installable.ts";

const fake = process.env.MAKIBA_FAKE === "1";
const api = process.env.MAKIBA_API ?? "http://127.0.0.1:8080";
const proxy: Record<string, ProxyOptions> = fake ? {} : { "/api": { target: api, changeOrigin: false } };

export default defineConfig({
  plugins: [svelte(), installable(), ...(fake ? [fakeFarm()] : [])],
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy },
  build: {
    target: ["es2020", "chrome80", "safari14"],
    cssTarget: ["chrome80", "safari14"],
    modulePreload: false, // its polyfill is of no use to browsers that know modules, and costs bytes
    assetsInlineLimit: 0, // the content security policy has no data: source
    rollupOptions: {
      input: { index: "index.html", sw: "src/service_worker.ts" },
      output: {
        entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  test: { environment: "node", include: ["src/**/*.test.ts", "tools/**/*.test.ts"] },
});
