/** The part of the suite that wrote a row without its user. */
export type SystemSource = "projection" | "rule" | "migration" | "mission-runner";
