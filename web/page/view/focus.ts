/** Moves the focus once the page has been drawn again: who uses a keyboard must not be thrown back to its start. */
export function focusLater(selector: string): void {
  requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector<HTMLElement>(selector)?.focus()));
}

/** The card after this one, or before it, or the heading: where to go when this card goes away. Found before it does. */
export function neighbourOf(card: HTMLElement | null): HTMLElement | null {
  const cards = [...document.querySelectorAll<HTMLElement>(".ghost")];
  const index = card ? cards.indexOf(card) : -1;
  const next = cards[index + 1] ?? cards[index - 1];
  return next?.querySelector<HTMLElement>("h4") ?? document.querySelector<HTMLElement>("#proposals-heading");
}
