// What is not there, said where it belongs in time.

const MIN_TRIES = 2;
const MAX_NOTICES = 200;

/**
 * @typedef {object} Notice
 * @property {string} key
 * @property {"dropped"|"missing"|"ended"} type dropped by the camera, which says so; not
 *   explained; or the end of this owner's time
 * @property {string} device
 * @property {number} count
 * @property {number} kind what was dropped, 0 where that is not known
 * @property {string} reason why the camera dropped it
 * @property {boolean} delivered the camera says that the hub had taken all of it
 * @property {number} time milliseconds since 1970, of the next thing that is there
 */

/**
 * @param {import("./audit.js").Missing[]} runs
 * @param {import("./timeline.js").Timeline} timeline
 * @param {(ref: string) => number} tries how often a place was asked for in vain
 * @returns {Notice[]} newest first
 */
export function missingNotices(runs, timeline, tries) {
  const out = [];
  let time = 0;
  let chain = "";
  for (const run of [...runs].reverse()) {
    const name = `${run.device}/${run.epoch}/${run.chain}`;
    if (name !== chain) time = 0;
    chain = name;
    const after = timeline.stubs.get(`${name}/${run.to + 1}`);
    time = after?.header.captured ?? (time || (timeline.stubs.get(`${name}/${run.from - 1}`)?.header.captured ?? 0));
    if (!run.dropped && tries(`${name}/${run.to}`) < MIN_TRIES) continue; // it may be on its way
    out.push({
      key: `${name}/${run.from}`,
      type: run.dropped ? "dropped" : "missing",
      device: run.device,
      count: run.to - run.from + 1,
      kind: run.dropped?.kind ?? 0,
      reason: run.dropped?.reason ?? "",
      delivered: !run.dropped && wasDelivered(run, timeline.cameras.get(run.device)),
      time,
    });
  }
  return out.sort((a, b) => b.time - a.time).slice(0, MAX_NOTICES);
}

/**
 * Where an ownership ended that was not followed by another of the same owner.
 * @param {import("./timeline.js").Timeline} timeline
 * @param {Map<string, number>} epochs the newest of this owner's, by device
 * @returns {Notice[]}
 */
export function endNotices(timeline, epochs) {
  return [...timeline.ended.values()].filter(({ device, epoch }) => !(epochs.get(device) > epoch))
    .map(({ device, epoch, at }) => ({ key: `${device}/${epoch}/end`, type: "ended", device, count: 0, kind: 0, reason: "ownership", delivered: false, time: at }));
}

/**
 * Whether a later checkpoint says that nothing before it was waiting or set
 * aside: then the hub gave receipts for all of the run.
 */
function wasDelivered(run, camera) {
  if (!camera?.says || !camera.checkpoint) return false;
  const { epoch, chain, seq } = camera.checkpoint.header;
  const isLater = epoch === run.epoch && (chain > run.chain || (chain === run.chain && seq > run.to));
  return isLater && camera.says.depth === 0 && camera.says.aside === 0;
}
