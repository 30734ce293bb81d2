import { defineConfig } from "vite";

/** The inbox page. */
export default defineConfig({
  root: "page",
  // Small pictures in the script would not pass the page's Content-Security-Policy.
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: "es2022",
    modulePreload: { polyfill: false },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
});
