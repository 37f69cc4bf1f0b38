import assert from "node:assert/strict";
import test from "node:test";
import { concat, utf8 } from "../bytes.js";
import { Demuxer, MP4Error } from "../mp4.js";
import { mutations } from "./random.js";

const u8 = (...n) => Uint8Array.from(n);
const u16 = (n) => u8(n >> 8, n & 255);
const u32 = (n) => u8(n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255);
const zeros = (n) => new Uint8Array(n);

function box(type, ...content) {
  const body = concat(...content);
  return concat(u32(body.length + 8), utf8(type), body);
}

const esds = (objectType) => box("esds", zeros(4), u8(3, 0x80, 0x80, 0x80, 20), u16(1), u8(0), u8(4, 13, objectType), zeros(12));
const visual = (type, ...inner) => box(type, zeros(24), u16(640), u16(360), zeros(50), ...inner);

function head(entry) {
  const stbl = box("stbl", box("stsd", zeros(4), u32(1), entry));
  const mdia = box("mdia", box("mdhd", zeros(12), u32(90_000), zeros(8)), box("minf", stbl));
  const mvex = box("mvex", box("trex", zeros(4), u32(1), u32(1), u32(9_000), u32(0), u32(0)));
  return concat(box("ftyp", utf8("iso6")), box("moov", box("trak", mdia), mvex));
}

function fragment(time, pictures) {
  const moof = (offset) => box("moof", box("mfhd", zeros(8)), box("traf",
    box("tfhd", u32(0x020000), u32(1)), box("tfdt", u32(0), u32(time)),
    box("trun", u32(0x000201), u32(pictures.length), u32(offset), ...pictures.map((p) => u32(p.length)))));
  const size = moof(0).length;
  return concat(moof(size + 8), box("mdat", ...pictures));
}

const mjpeg = head(visual("mp4v", esds(0x6c)));
const pictures = [utf8("first"), utf8("second!"), utf8("3")];

test("JPEG pictures, over two pieces", () => {
  const demuxer = new Demuxer();
  const one = concat(mjpeg, fragment(0, pictures.slice(0, 2)));
  const two = fragment(18_000, pictures.slice(2));
  const samples = demuxer.read(one);
  assert.deepEqual(samples.map((s) => new TextDecoder().decode(one.subarray(s.offset, s.offset + s.size))), ["first", "second!"]);
  assert.deepEqual(samples.map((s) => [s.time, s.duration]), [[0, 0.1], [0.1, 0.1]]);
  const [last] = demuxer.read(two);
  assert.equal(new TextDecoder().decode(two.subarray(last.offset, last.offset + last.size)), "3");
  assert.equal(last.time, 0.2);
  assert.deepEqual([demuxer.track.codec, demuxer.track.width, demuxer.track.height], ["mjpeg", 640, 360]);
});

test("H.264 has a media type that MediaSource is asked for", () => {
  const demuxer = new Demuxer();
  demuxer.read(head(visual("avc1", box("avcC", u8(1, 0x64, 0x00, 0x1f, 0xff)))));
  assert.equal(demuxer.track.mediaType, 'video/mp4; codecs="avc1.64001f"');
});

test("what is refused", () => {
  const refused = (bytes, message) => assert.throws(() => new Demuxer().read(bytes), { name: "MP4Error", message });
  refused(fragment(0, pictures), /before what describes them/);
  refused(head(visual("mp4v", esds(0x20))), /no H.264 or JPEG/);
  refused(concat(mjpeg, u32(100), utf8("mdat")), /wrong size/);
  refused(concat(mjpeg, u8(0, 0, 0)), /inside a box/);
  const cut = concat(mjpeg, fragment(0, [zeros(100)]).subarray(0, -50));
  refused(cut, /past the end/);
  const endless = box("trun", u32(0x000001), u32(0xffffffff), u32(0));
  refused(concat(mjpeg, box("moof", box("traf", box("tfhd", u32(0x020000), u32(1)), endless))), /too many/);
});

test("whatever is read, only an MP4Error is thrown, and no sample leaves the bytes", () => {
  const good = concat(mjpeg, fragment(0, pictures), fragment(27_000, pictures));
  let read = 0;
  for (const bytes of mutations(good, 5_000)) {
    try {
      for (const s of new Demuxer().read(bytes)) assert.ok(s.offset >= 0 && s.offset + s.size <= bytes.length);
      read++;
    } catch (err) {
      if (!(err instanceof MP4Error)) throw err;
    }
  }
  assert.ok(read > 100);
});
