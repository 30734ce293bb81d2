// Prints what is sent for the page and for the package, gzipped, and fails where that is more than was promised.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const KILOBYTE = 1000;
const budgets = [
  { name: "page", folder: "dist", matches: /\.(html|js|css|svg)$/, kilobytes: 80 },
  { name: "package without Dexie", folder: "lib", matches: /\.js$/, kilobytes: 10 },
];

let tooLarge = false;
for (const { name, folder, matches, kilobytes } of budgets) {
  const files = readdirSync(folder, { recursive: true }).filter((file) => matches.test(file));
  if (files.length === 0) throw new Error(`nothing was built in ${folder}`);
  const sizes = files.map((file) => [file, gzipSync(readFileSync(join(folder, file)), { level: 9 }).length]);
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  console.log(`${name}: ${(total / KILOBYTE).toFixed(1)} kB gzipped of ${kilobytes} kB`);
  for (const [file, size] of sizes) console.log(`  ${file} ${(size / KILOBYTE).toFixed(1)} kB`);
  tooLarge ||= total > kilobytes * KILOBYTE;
}
if (tooLarge) {
  console.error("larger than promised");
  process.exit(1);
}
