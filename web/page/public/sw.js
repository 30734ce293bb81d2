/**
 * Lets the page open without a network. Files under /assets carry a hash of their content in their name, so one that is
 * kept is the right one; the page itself is asked for first, and taken from here only if nobody answers. Sync requests are not touched:
 * what the device needs offline is in its database.
 */
const CACHE = "mana-inbox";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { pathname, origin } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (pathname.startsWith("/sync/") || pathname.startsWith("/demo/")) return;
  event.respondWith(pathname.startsWith("/assets/") ? keptFirst(request) : networkFirst(request));
});

async function keptFirst(request) {
  return (await caches.match(request)) ?? fetchAndKeep(request);
}

async function networkFirst(request) {
  // Whoever the page is for is said in its query; the page is the same.
  return fetchAndKeep(request).catch(
    async () => (await caches.match(request, { ignoreSearch: true })) ?? Response.error(),
  );
}

async function fetchAndKeep(request) {
  const response = await fetch(request);
  if (response.ok) {
    const copy = response.clone();
    const cache = await caches.open(CACHE);
    await cache.put(request, copy);
  }
  return response;
}
