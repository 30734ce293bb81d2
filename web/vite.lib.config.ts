import { defineConfig } from "vite";

/** The package: one module, with Dexie left to whoever uses it. */
export default defineConfig({
  publicDir: false,
  build: {
    outDir: "lib",
    target: "es2022",
    lib: { entry: "src/index.ts", formats: ["es"], fileName: "index" },
    rolldownOptions: { external: ["dexie"] },
  },
});
