// Broken inputs, the same ones each time: bytes changed, put in, taken out,
// cut off and doubled.

/** A linear congruential generator (Park and Miller): numbers below n. */
export function random(seed = 1) {
  let state = seed;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

/** Yields `count` mutations of bytes, each with one to four changes. */
export function* mutations(bytes, count, seed = 1) {
  const below = random(seed);
  for (let i = 0; i < count; i++) {
    let out = Array.from(bytes);
    for (let changes = 1 + below(4); changes > 0; changes--) out = mutate(out, below);
    yield Uint8Array.from(out);
  }
}

function mutate(bytes, below) {
  const at = below(bytes.length + 1);
  switch (below(6)) {
    case 0:
      return bytes.map((b, i) => (i === at ? below(256) : b));
    case 1:
      return [...bytes.slice(0, at), below(256), ...bytes.slice(at)];
    case 2:
      return [...bytes.slice(0, at), ...bytes.slice(at + 1 + below(4))];
    case 3:
      return bytes.length > 1 ? bytes.slice(0, Math.max(1, at)) : bytes;
    case 4:
      return bytes.map((b, i) => (i === at ? b ^ (1 << below(8)) : b));
    default:
      return [...bytes.slice(0, at), ...bytes.slice(Math.max(0, at - below(16)))];
  }
}
