// Times as people read them, in the browser's own language and zone.

const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The local day of a time, as a key that sorts. */
export function dayKey(ms) {
  const d = new Date(ms);
  return d.getFullYear() * 10_000 + (d.getMonth() + 1) * 100 + d.getDate();
}

export function dayText(ms, now = Date.now()) {
  if (dayKey(ms) === dayKey(now)) return "Today";
  if (dayKey(ms) === dayKey(now - 86_400_000)) return "Yesterday";
  return safely(DAY, ms);
}

export const timeText = (ms) => safely(TIME, ms);
export const fullText = (ms) => safely(FULL, ms);

// The format's times go further than the calendar of Date.
function safely(format, ms) {
  return Math.abs(ms) <= 8.64e15 ? format.format(ms) : "a time beyond the calendar";
}

/** "12 s ago", "5 min ago", "3 h ago", "2 days ago". */
export function agoText(ms, now = Date.now()) {
  const s = Math.round((now - ms) / 1000);
  if (s < -60) return `${fullText(ms)}, which is in the future by this browser's clock`;
  if (s < 5) return "just now";
  if (s < 90) return `${s} s ago`;
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 129_600) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86_400)} days ago`;
}

/** Seconds as m:ss. */
export function lengthText(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}
