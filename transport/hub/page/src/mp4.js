// Reads fragmented MP4 (ISO/IEC 14496-12) as the cameras' clips are written:
// one video track, H.264 (avc1) or JPEG pictures. Bytes come in pieces that
// begin and end at box borders (clip parts); each piece is read once.

export const MAX_SAMPLES_PER_PIECE = 20_000;
const MAX_BOXES = 50_000;

const JPEG_OBJECT_TYPE = 0x6c;

export class MP4Error extends Error {
  constructor(message) {
    super(`MP4: ${message}`);
    this.name = "MP4Error";
  }
}

/** A clip's track, learnt from its first piece. */
export class Track {
  /** "h264" or "mjpeg". */
  codec;
  /** What MediaSource is asked for: video/mp4; codecs="avc1.…" (H.264 only). */
  mediaType;
  width;
  height;
  timescale;
  defaults = { duration: 0, size: 0 };
}

/** Reads the pieces of one clip in order. */
export class Demuxer {
  /** The clip's Track, or null before the first moov. */
  track = null;
  #nextTime = 0;

  /**
   * Reads one piece.
   * @param {Uint8Array} bytes
   * @returns {{offset: number, size: number, time: number, duration: number}[]}
   *   its samples: offset and size in the piece; seconds since the clip's start.
   */
  read(bytes) {
    const samples = [];
    const budget = { boxes: MAX_BOXES };
    for (const box of boxes(bytes, 0, bytes.length, budget)) {
      if (box.type === "moov") this.track = readMoov(bytes, box, budget);
      if (box.type === "moof") this.#readMoof(bytes, box, budget, samples);
    }
    return samples;
  }

  #readMoof(bytes, moof, budget, samples) {
    if (this.track === null) throw new MP4Error("pictures come before what describes them");
    for (const traf of children(bytes, moof, budget).filter((b) => b.type === "traf")) {
      const parts = children(bytes, traf, budget);
      const header = readTfhd(bytes, need(parts, "tfhd"), this.track.defaults);
      const time = parts.find((b) => b.type === "tfdt");
      let at = time ? readTfdt(bytes, time) : this.#nextTime;
      let offset = moof.start;
      for (const trun of parts.filter((b) => b.type === "trun")) {
        for (const s of readTrun(bytes, trun, header, moof.start, offset)) {
          if (samples.length >= MAX_SAMPLES_PER_PIECE) throw new MP4Error("too many pictures");
          if (s.size > bytes.length - s.offset) throw new MP4Error("a picture reaches past the end");
          samples.push({ offset: s.offset, size: s.size, time: at / this.track.timescale, duration: s.duration / this.track.timescale });
          at += s.duration;
          offset = s.offset + s.size;
        }
      }
      this.#nextTime = at;
    }
  }
}

function view(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function* boxes(bytes, from, to, budget) {
  const v = view(bytes);
  for (let at = from; at < to; ) {
    if (--budget.boxes < 0) throw new MP4Error("too many boxes");
    if (to - at < 8) throw new MP4Error("ends inside a box");
    let size = v.getUint32(at);
    let header = 8;
    if (size === 1) {
      if (to - at < 16) throw new MP4Error("ends inside a box");
      const large = v.getBigUint64(at + 8);
      size = large > BigInt(to) ? Infinity : Number(large);
      header = 16;
    }
    if (size < header || size > to - at) throw new MP4Error("a box with a wrong size");
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    yield { type, start: at, body: at + header, end: at + size };
    at += size;
  }
}

function children(bytes, box, budget, skip = 0) {
  if (box.body + skip > box.end) throw new MP4Error(`a ${box.type} box that is too short`);
  return [...boxes(bytes, box.body + skip, box.end, budget)];
}

function need(list, type) {
  const box = list.find((b) => b.type === type);
  if (!box) throw new MP4Error(`no ${type} box`);
  return box;
}

/** A cursor over one box's body that never leaves it. */
class Fields {
  constructor(bytes, box) {
    this.view = view(bytes);
    this.at = box.body;
    this.end = box.end;
    this.type = box.type;
  }
  #advance(n) {
    if (n > this.end - this.at) throw new MP4Error(`a ${this.type} box that is too short`);
    const at = this.at;
    this.at += n;
    return at;
  }
  u8() { return this.view.getUint8(this.#advance(1)); }
  u16() { return this.view.getUint16(this.#advance(2)); }
  u32() { return this.view.getUint32(this.#advance(4)); }
  i32() { return this.view.getInt32(this.#advance(4)); }
  u64() {
    const n = this.view.getBigUint64(this.#advance(8));
    if (n > BigInt(Number.MAX_SAFE_INTEGER)) throw new MP4Error("a number too large");
    return Number(n);
  }
  skip(n) { this.#advance(n); }
  get left() { return this.end - this.at; }
}

function readMoov(bytes, moov, budget) {
  const top = children(bytes, moov, budget);
  for (const trak of top.filter((b) => b.type === "trak")) {
    const mdia = children(bytes, need(children(bytes, trak, budget), "mdia"), budget);
    const minf = children(bytes, need(mdia, "minf"), budget);
    const stsd = need(children(bytes, need(minf, "stbl"), budget), "stsd");
    const track = new Track();
    if (!readSampleEntry(bytes, stsd, budget, track)) continue;
    track.timescale = readTimescale(bytes, need(mdia, "mdhd"));
    const mvex = top.find((b) => b.type === "mvex");
    const trex = mvex && children(bytes, mvex, budget).find((b) => b.type === "trex");
    if (trex) {
      const f = new Fields(bytes, trex);
      f.skip(12);
      track.defaults = { duration: f.u32(), size: f.u32() };
    }
    return track;
  }
  throw new MP4Error("no H.264 or JPEG video in it");
}

function readTimescale(bytes, mdhd) {
  const f = new Fields(bytes, mdhd);
  const version = f.u8();
  f.skip(version === 1 ? 19 : 11);
  const timescale = f.u32();
  if (timescale === 0) throw new MP4Error("a timescale of nought");
  return timescale;
}

function readSampleEntry(bytes, stsd, budget, track) {
  for (const entry of children(bytes, stsd, budget, 8)) {
    if (!["avc1", "avc3", "mp4v", "jpeg", "mjpg"].includes(entry.type)) continue;
    const f = new Fields(bytes, entry);
    f.skip(24);
    track.width = f.u16();
    track.height = f.u16();
    const inner = children(bytes, entry, budget, 78);
    if (entry.type === "avc1" || entry.type === "avc3") {
      const avcC = need(inner, "avcC");
      const c = new Fields(bytes, avcC);
      c.skip(1);
      const profile = [c.u8(), c.u8(), c.u8()].map((n) => n.toString(16).padStart(2, "0")).join("");
      track.codec = "h264";
      track.mediaType = `video/mp4; codecs="${entry.type}.${profile}"`;
      return true;
    }
    if (entry.type === "mp4v" && objectType(bytes, need(inner, "esds")) !== JPEG_OBJECT_TYPE) continue;
    track.codec = "mjpeg";
    return true;
  }
  return false;
}

/** The objectTypeIndication of an esds box (ISO/IEC 14496-1 §7.2.6). */
function objectType(bytes, esds) {
  const f = new Fields(bytes, esds);
  f.skip(4);
  while (f.left > 0) {
    const tag = f.u8();
    let length = 0;
    for (let i = 0; i < 4; i++) {
      const b = f.u8();
      length = (length << 7) | (b & 127);
      if (b < 128) break;
    }
    if (tag === 4) return f.u8();
    if (tag !== 3) {
      f.skip(length);
      continue;
    }
    f.skip(2);
    const flags = f.u8();
    if (flags & 0x80) f.skip(2);
    if (flags & 0x40) f.skip(f.u8());
    if (flags & 0x20) f.skip(2);
  }
  return 0;
}

function readFlags(f) {
  const word = f.u32();
  return { version: word >>> 24, flags: word & 0xffffff };
}

function readTfhd(bytes, tfhd, defaults) {
  const f = new Fields(bytes, tfhd);
  const { flags } = readFlags(f);
  f.skip(4);
  const out = { base: null, duration: defaults.duration, size: defaults.size };
  if (flags & 0x01) out.base = f.u64();
  if (flags & 0x02) f.skip(4);
  if (flags & 0x08) out.duration = f.u32();
  if (flags & 0x10) out.size = f.u32();
  return out;
}

function readTfdt(bytes, tfdt) {
  const f = new Fields(bytes, tfdt);
  return readFlags(f).version === 1 ? f.u64() : f.u32();
}

function* readTrun(bytes, trun, header, moofStart, implied) {
  if (header.base !== null) throw new MP4Error("pictures placed by absolute offsets");
  const f = new Fields(bytes, trun);
  const { flags } = readFlags(f);
  const count = f.u32();
  let offset = flags & 0x01 ? moofStart + f.i32() : implied;
  if (offset < 0) throw new MP4Error("a picture that begins before the file");
  if (flags & 0x04) f.skip(4);
  for (let i = 0; i < count; i++) {
    const duration = flags & 0x100 ? f.u32() : header.duration;
    const size = flags & 0x200 ? f.u32() : header.size;
    if (flags & 0x400) f.skip(4);
    if (flags & 0x800) f.skip(4);
    if (offset > bytes.length) throw new MP4Error("a picture reaches past the end");
    yield { offset, size, duration };
    offset += size;
  }
}
