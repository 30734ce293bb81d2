/** What a step would do. `params` may be missing or null where another writer left it out. */
export type Intent =
  { kind: "toolCall"; toolName: string; params?: Record<string, unknown> | null } | { kind: "note"; body: string };
