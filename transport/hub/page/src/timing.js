// How long a viewer waits, for what.

/** Times in milliseconds; tests shorten them. */
export const TIMING = {
  retry: { first: 250, most: 8_000 }, // another answer than the one asked for
  outage: { first: 1_000, most: 30_000 }, // no answer
  stranger: { first: 3_000, most: 30_000 }, // the hub does not know these keys
  expected: { first: 1_000, most: 2_000 }, // the same, while a camera is being added
  missing: { first: 1_000, most: 60_000 }, // a place that the hub says is empty
  devices: 10_000,
  records: 60_000,
  recordsAtMost: 2_000, // how often a row may make us ask for records
  confirm: 10_000, // what is missing is asked for again before it counts as kept back
  older: 2_000, // records that are missing are asked for again
  silent: 60_000, // between two looks at a camera from which nothing comes
  wait: 25, // seconds of a long poll
};
