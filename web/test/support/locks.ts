/** Answers each request in the order in which they came, as a browser does. Counts the most at once. */
export function lockManager(): LockManager & { most: number; mostAsked: number } {
  let queue: Promise<unknown> = Promise.resolve();
  let held = 0;
  let asked = 0;
  const manager = {
    most: 0,
    mostAsked: 0,
    request: (_name: string, _options: LockOptions, work: () => Promise<unknown>) => {
      manager.mostAsked = Math.max(manager.mostAsked, (asked += 1));
      const run = queue.then(async () => {
        manager.most = Math.max(manager.most, (held += 1));
        await work();
        held -= 1;
        asked -= 1;
      });
      queue = run.catch(() => undefined);
      return run;
    },
    query: () => Promise.reject(new Error("not used")),
  };
  return manager as unknown as ReturnType<typeof lockManager>;
}
