// Why something is not shown, as docs/ref/sealed-item.md names it.

/** Every reason, in the order in which a verifier looks for them. */
export const REASONS = [
  "too-large", "truncated", "malformed", "unknown-algorithm", "unsigned", "not-canonical",
  "unknown-version", "bad-field", "device-mismatch", "bad-signature", "body-size", "body-hash",
  "not-asked-for", "wrong-owner", "unknown-device", "wrong-epoch", "unknown-record",
  "replayed", "fork", "broken-chain", "cannot-decrypt",
];

/** A verifier's refusal: reason is what a program decides by, detail is for a person. */
export class Refusal extends Error {
  constructor(reason, detail = "") {
    super(detail ? `${reason}: ${detail}` : reason);
    this.name = "Refusal";
    this.reason = reason;
    this.detail = detail;
  }
}

export function refuse(reason, detail) {
  return new Refusal(reason, detail);
}

/** The reason of a Refusal, else "". */
export function reasonOf(err) {
  return err instanceof Refusal ? err.reason : "";
}
