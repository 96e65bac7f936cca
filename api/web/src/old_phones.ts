/* What Svelte's runtime calls and phones with Chrome 80 to 84 lack. Loaded before everything else. */
if (!("replaceAll" in String.prototype)) {
  Object.defineProperty(String.prototype, "replaceAll", {
    configurable: true,
    writable: true,
    value(this: string, what: string | RegExp, by: string): string {
      return typeof what === "string" ? this.split(what).join(by) : this.replace(what, by);
    },
  });
}

export {};
