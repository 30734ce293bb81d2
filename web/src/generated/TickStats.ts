/** What a tick of the service did: the answer of `POST /internal/tick`. */
export type TickStats = {
  scannedAt: string;
  dueMissionCount: number;
  plansProduced: number;
  plansWrittenBack: number;
  parseFailures: number;
  errors: Array<string>;
};
