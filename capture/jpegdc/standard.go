package jpegdc

// The typical Huffman tables of T.81 annex K.3: table 0 for luma, 1 for colour.
// Motion-JPEG streams that leave their tables out mean these.
const (
	countsDCLuma   = "\x00\x01\x05\x01\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00" // table K.3
	countsDCColour = "\x00\x03\x01\x01\x01\x01\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00" // table K.4
	valuesDC       = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"

	countsACLuma = "\x00\x02\x01\x03\x03\x02\x04\x03\x05\x05\x04\x04\x00\x00\x01\x7d" // table K.5
	valuesACLuma = "\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07" +
		"\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0" +
		"\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28" +
		"\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49" +
		"\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69" +
		"\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89" +
		"\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7" +
		"\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5" +
		"\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2" +
		"\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8" +
		"\xf9\xfa"

	countsACColour = "\x00\x02\x01\x02\x04\x04\x03\x04\x07\x05\x04\x04\x00\x01\x02\x77" // table K.6
	valuesACColour = "\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71" +
		"\x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0" +
		"\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26" +
		"\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48" +
		"\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68" +
		"\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87" +
		"\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5" +
		"\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3" +
		"\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda" +
		"\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8" +
		"\xf9\xfa"
)

// standard returns the counts and values of a standard table, or empty strings
// where annex K has none.
func standard(class, id int) (counts, values string) {
	switch {
	case class == classDC && id == 0:
		return countsDCLuma, valuesDC
	case class == classDC && id == 1:
		return countsDCColour, valuesDC
	case class == classAC && id == 0:
		return countsACLuma, valuesACLuma
	case class == classAC && id == 1:
		return countsACColour, valuesACColour
	}
	return "", ""
}

// WithTables returns a JPEG that has the Huffman tables its scan uses. If one is
// missing, the standard tables (T.81 annex K) that the header does not have are
// put in before the first scan. Ordinary decoders, browsers among them, need
// that for the frames of many USB cameras.
//
// A JPEG that lacks nothing, or that cannot be read up to its first scan, is
// returned as it is. The bytes given are never changed.
func WithTables(jpeg []byte) []byte {
	var h header
	scan, err := h.firstScan(jpeg)
	if err != nil || !h.lacksTables() {
		return jpeg
	}
	var tables []byte
	for id := range 2 {
		for class := range 2 {
			if h.huffman[class][id].counts != nil {
				continue
			}
			counts, values := standard(class, id)
			tables = append(tables, byte(class<<4|id))
			tables = append(tables, counts...)
			tables = append(tables, values...)
		}
	}
	length := len(tables) + 2
	out := make([]byte, 0, len(jpeg)+len(tables)+4)
	out = append(out, jpeg[:scan.start]...)
	out = append(out, 0xFF, markerDHT, byte(length>>8), byte(length))
	out = append(out, tables...)
	return append(out, jpeg[scan.start:]...)
}

// lacksTables reports whether a component of the scan names a Huffman table that
// the frame does not have and annex K does.
func (h *header) lacksTables() bool {
	for _, i := range h.inScan[:h.scanned] {
		c := h.components[i]
		if c.dc < 2 && h.huffman[classDC][c.dc].counts == nil ||
			c.ac < 2 && h.huffman[classAC][c.ac].counts == nil {
			return true
		}
	}
	return false
}
