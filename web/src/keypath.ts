import type { Fields } from "./types";

/** Is it an object whose members travel one by one? Lists travel whole. */
export function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object's own value. A field may be called `constructor`, which every object inherits. */
export function own<T>(object: Record<string, T>, key: string): T | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/**
 * `root` with `value` at a dotted path, as a device's database sets it: objects are made where they are missing or
 * null, a text or number in the way stays as it is. Copies what it changes.
 */
export function withPart(root: Fields, path: string, value: unknown): Fields {
  const dot = path.indexOf(".");
  const head = dot < 0 ? path : path.slice(0, dot);
  const rest = dot < 0 ? "" : path.slice(dot + 1);
  // Setting it would change the object's prototype, not a field.
  if (head === "__proto__") return root;
  if (rest === "") return put(root, head, value);
  const inner = own(root, head) || {};
  return typeof inner === "object" ? put(root, head, withPart(inner as Fields, rest, value)) : root;
}

function put(root: Fields, key: string, value: unknown): Fields {
  const copy: Fields = Array.isArray(root) ? ([...root] as unknown as Fields) : { ...root };
  copy[key] = value;
  return copy;
}
