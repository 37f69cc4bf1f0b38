package usbcam

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Descriptor types and subtypes: USB 2.0 table 9-5, USB Video 1.1 appendix A.
const (
	typeDevice        = 1
	typeConfiguration = 2
	typeString        = 3
	typeInterface     = 4
	typeEndpoint      = 5
	typeAssociation   = 11
	typeClassSpecific = 0x24

	classVideo            = 0x0e
	subclassControl       = 1
	subclassStreaming     = 2
	subclassCollection    = 3
	controlHeader         = 1
	controlInputTerminal  = 2
	controlOutputTerminal = 3
	controlProcessingUnit = 5

	streamInputHeader      = 1
	streamFormatRaw        = 4
	streamFrameRaw         = 5
	streamFormatMJPEG      = 6
	streamFrameMJPEG       = 7
	streamColour           = 13
	streamFormatFrameBased = 16
	streamFrameFrameBased  = 17

	terminalCamera    = 0x0201
	terminalStreaming = 0x0101
	attributeBulk     = 2
)

// What the camera says of itself.
const (
	usbRelease   uint16 = 0x0200
	classRelease uint16 = 0x0110
	packetBytes         = 512
	clockHertz          = 48_000_000
	bitRate             = 1_000_000_000 // the most that a frame descriptor promises
)

// The camera's entities: a lens, what is done to the picture, and an output terminal
// for each stream.
const (
	entityLens      uint8 = 1
	entityPicture   uint8 = 2
	entityFirstNode uint8 = 3
)

// Strings of the camera, by their numbers.
const (
	stringMaker   = 1
	stringProduct = 2
	stringSerial  = 3
)

// endpointOf is the number of a stream's endpoint.
func endpointOf(stream int) uint32 { return uint32(stream) + 1 }

// fields joins numbers of the sizes that they have and bytes, little endian as all
// of USB is. It takes nothing that could fail.
func fields(list ...any) []byte {
	var b []byte
	for _, v := range list {
		switch v := v.(type) {
		case uint8:
			b = append(b, v)
		case uint16:
			b = binary.LittleEndian.AppendUint16(b, v)
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, v)
		case []byte:
			b = append(b, v...)
		default:
			panic("usbcam: a field of another type")
		}
	}
	return b
}

// descriptor puts the length before its fields.
func descriptor(list ...any) []byte {
	b := fields(list...)
	return append([]byte{byte(len(b) + 1)}, b...)
}

// one is a byte that is not a constant of its own.
func one(n int) uint8 { return uint8(n) }

// deviceDescriptor is of USB 2.0, 9.6.1. A serial number is left out where there is none.
func deviceDescriptor(d *Description) []byte {
	serial := uint8(stringSerial)
	if d.Serial == "" {
		serial = 0
	}
	// Class 0xef, 2, 1: the functions are told by association descriptors.
	return descriptor(one(typeDevice), usbRelease, uint8(0xef), uint8(2), uint8(1), uint8(64),
		d.VendorID, d.ProductID, uint16(0x0100), uint8(stringMaker), uint8(stringProduct), serial, uint8(1))
}

// stringDescriptor is UTF-16; number 0 lists the languages, which is one, English.
func stringDescriptor(d *Description, number int) ([]byte, bool) {
	text := map[int]string{stringMaker: "Made up", stringProduct: d.Name, stringSerial: d.Serial}[number]
	switch {
	case number == 0:
		return descriptor(one(typeString), uint16(0x0409)), true
	case text == "":
		return nil, false
	}
	b := fields(one(typeString))
	for _, r := range text {
		b = binary.LittleEndian.AppendUint16(b, uint16(r))
	}
	return descriptor(b), true
}

// configuration is the one configuration: a control interface, and one more for
// each stream.
func configuration(d *Description) []byte {
	interfaces := len(d.Streams) + 1
	body := [][]byte{
		descriptor(one(typeAssociation), uint8(0), one(interfaces), uint8(classVideo), uint8(subclassCollection), uint8(0), uint8(0)),
		descriptor(one(typeInterface), uint8(0), uint8(0), uint8(0), uint8(classVideo), uint8(subclassControl), uint8(0), uint8(0)),
		controlInterface(d),
	}
	for i := range d.Streams {
		body = append(body,
			descriptor(one(typeInterface), one(i+1), uint8(0), uint8(1), uint8(classVideo), uint8(subclassStreaming), uint8(0), uint8(0)),
			streamInterface(i, d.Streams[i].Formats),
			descriptor(one(typeEndpoint), one(0x80|int(endpointOf(i))), uint8(attributeBulk), uint16(packetBytes), uint8(0)))
	}
	all := bytes.Join(body, nil)
	head := descriptor(one(typeConfiguration), uint16(9+len(all)), one(interfaces), uint8(1), uint8(0), uint8(0x80), uint8(250))
	return append(head, all...)
}

// controlInterface describes a lens, a picture's processing and where the pictures
// go (USB Video 1.1, 3.7.2).
func controlInterface(d *Description) []byte {
	lens, picture := controlBits(d.Controls, entityLens), controlBits(d.Controls, entityPicture)
	units := [][]byte{
		descriptor(uint8(typeClassSpecific), uint8(controlInputTerminal), entityLens, uint16(terminalCamera),
			uint8(0), uint8(0), uint16(0), uint16(0), uint16(0), uint8(3), fields(lens)[:3]),
		descriptor(uint8(typeClassSpecific), uint8(controlProcessingUnit), entityPicture, entityLens, uint16(0),
			uint8(3), fields(picture)[:3], uint8(0), uint8(0)),
	}
	numbers := []byte{}
	for i := range d.Streams {
		units = append(units, descriptor(uint8(typeClassSpecific), uint8(controlOutputTerminal),
			entityFirstNode+one(i), uint16(terminalStreaming), uint8(0), entityPicture, uint8(0)))
		numbers = append(numbers, one(i+1))
	}
	all := bytes.Join(units, nil)
	head := descriptor(uint8(typeClassSpecific), uint8(controlHeader), classRelease,
		uint16(12+len(numbers)+len(all)), uint32(clockHertz), one(len(numbers)), numbers)
	return append(head, all...)
}

// streamInterface describes a stream's formats (USB Video 1.1, 3.9.2 and the
// payload specifications).
func streamInterface(stream int, formats []Format) []byte {
	var all []byte
	for i, f := range formats {
		all = append(all, f.descriptors(i)...)
	}
	head := descriptor(uint8(typeClassSpecific), uint8(streamInputHeader), one(len(formats)),
		uint16(13+len(formats)+len(all)), one(0x80|int(endpointOf(stream))), uint8(0), entityFirstNode+one(stream),
		uint8(0), uint8(0), uint8(0), uint8(1), make([]byte, len(formats)))
	return append(head, all...)
}

// guid is the identifier of an encoding that has four characters.
func guid(fourCC string) []byte {
	return append([]byte(fourCC), 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71)
}

func (f Format) descriptors(index int) []byte {
	number, sizes := one(index+1), one(len(f.Sizes))
	var out []byte
	frame := uint8(0)
	switch f.Encoding {
	case MJPEG:
		out = descriptor(uint8(typeClassSpecific), uint8(streamFormatMJPEG), number, sizes,
			uint8(0), uint8(1), uint8(0), uint8(0), uint8(0), uint8(0))
		frame = streamFrameMJPEG
	case YUYV:
		out = descriptor(uint8(typeClassSpecific), uint8(streamFormatRaw), number, sizes, guid("YUY2"),
			uint8(16), uint8(1), uint8(0), uint8(0), uint8(0), uint8(0))
		frame = streamFrameRaw
	case H264:
		// The last field says that frames differ in their lengths.
		out = descriptor(uint8(typeClassSpecific), uint8(streamFormatFrameBased), number, sizes, guid("H264"),
			uint8(16), uint8(1), uint8(0), uint8(0), uint8(0), uint8(0), uint8(1))
		frame = streamFrameFrameBased
	}
	for i, s := range f.Sizes {
		out = append(out, s.descriptor(frame, i)...)
	}
	return append(out, descriptor(uint8(typeClassSpecific), uint8(streamColour), uint8(1), uint8(1), uint8(4))...)
}

// hundreds is an interval in the class's unit of 100 ns.
func hundreds(d time.Duration) uint32 { return uint32(d / 100) }

func (s Size) descriptor(frame uint8, index int) []byte {
	pixels := uint32(s.Width * s.Height)
	kind := one(len(s.Intervals))
	if s.Continuous {
		kind = 0
	}
	head := fields(uint8(typeClassSpecific), frame, one(index+1), uint8(0), uint16(s.Width), uint16(s.Height), pixels, uint32(bitRate))
	var list []byte
	for _, d := range s.Intervals {
		list = fields(list, hundreds(d))
	}
	if frame == streamFrameFrameBased {
		return descriptor(head, hundreds(s.Intervals[0]), kind, uint32(0), list)
	}
	return descriptor(head, frameBytes(s.Width, s.Height), hundreds(s.Intervals[0]), kind, list)
}

// frameBytes is how long a frame may be, whatever it is encoded in.
func frameBytes(width, height int) uint32 { return uint32(2 * width * height) }
