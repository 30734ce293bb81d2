/**
 * Ids that sort by the time at which they were made (UUID version 7). mana-sync gives all rows of one push the same
 * `created_at`, and then their ids decide the order in which devices apply them.
 */
let last = 0n;

/** A new id, greater than all before it on this page. */
export function newId(now = Date.now()): string {
  // 48 bits of milliseconds, then 12 bits that count within one of them.
  const next = BigInt(now) << 12n;
  last = next > last ? next : last + 1n;
  const random = crypto.getRandomValues(new Uint8Array(8));
  random[0] = ((random[0] ?? 0) & 0x3f) | 0x80;
  const tail = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const time = (last >> 12n).toString(16).padStart(12, "0");
  const count = (last & 0xfffn).toString(16).padStart(3, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-${tail.slice(0, 4)}-${tail.slice(4)}`;
}
