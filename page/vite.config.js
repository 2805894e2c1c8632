import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig } from "vite";

const page = resolve(import.meta.dirname, "../service/rest/page");
const source = resolve(import.meta.dirname, "src");

// Names the sources in the script that is made of them; a test compares it with what they are now.
function fingerprint() {
  const hash = createHash("sha256").update(readFileSync(resolve(import.meta.dirname, "package.json")));
  for (const name of readdirSync(source).sort()) hash.update(readFileSync(resolve(source, name)));
  return hash.digest("hex");
}

// One script and one stylesheet under fixed names: index.html names them, and the service serves no others.
export default defineConfig({
  build: {
    outDir: page,
    emptyOutDir: false,
    copyPublicDir: false,
    target: "es2022",
    rolldownOptions: { output: { postBanner: `/* sources: ${fingerprint()}; three.js: MIT, copyright three.js authors, see NOTICE */` } },
    lib: { entry: resolve(import.meta.dirname, "src/main.js"), formats: ["es"], fileName: () => "page.js", cssFileName: "page" },
  },
});
