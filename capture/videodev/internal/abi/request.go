package abi

import "fmt"

// Request is an ioctl's number: a direction, the length of its argument, the
// letter V, and an ordinal.
type Request uint32

// Directions, as seen by the program.
const (
	write     = 1
	read      = 2
	readWrite = 3
)

func request(direction, ordinal, length int) Request {
	return Request(uint32(direction)<<30 | uint32(length)<<16 | 'V'<<8 | uint32(ordinal))
}

// Bytes is the length of the argument.
func (r Request) Bytes() int { return int(r >> 16 & 0x3fff) }

// Ordinal is what is left when the length, which differs between machines, is not
// looked at.
func (r Request) Ordinal() int { return int(r & 0xff) }

// Ordinals.
const (
	QueryCapability      = 0
	EnumFormats          = 2
	GetFormat            = 4
	SetFormat            = 5
	RequestBuffers       = 8
	QueryBuffer          = 9
	Enqueue              = 15
	Dequeue              = 17
	StreamOn             = 18
	StreamOff            = 19
	GetParameters        = 21
	SetParameters        = 22
	EnumInputs           = 26
	GetControl           = 27
	SetControl           = 28
	QueryControl         = 36
	QueryMenu            = 37
	GetInput             = 38
	SetInput             = 39
	TryFormat            = 64
	GetExtControls       = 71
	SetExtControls       = 72
	EnumFrameSizes       = 74
	EnumFrameIntervals   = 75
	EncoderCommandNumber = 77
	DequeueEvent         = 89
	SubscribeEvent       = 90
	QueryExtControl      = 103
)

// Request returns an ioctl's number by its ordinal; 0 if there is none.
func (a ABI) Request(ordinal int) Request {
	direction, length := readWrite, 0
	switch ordinal {
	case QueryCapability:
		direction, length = read, CapabilityBytes
	case EnumFormats:
		length = FmtdescBytes
	case GetFormat, SetFormat, TryFormat:
		length = a.FormatBytes()
	case RequestBuffers:
		length = RequestBuffersBytes
	case QueryBuffer, Enqueue, Dequeue:
		length = a.Buffer().Bytes
	case StreamOn, StreamOff:
		direction, length = write, 4
	case GetParameters, SetParameters:
		length = StreamParmBytes
	case EnumInputs:
		length = InputBytes
	case GetInput:
		direction, length = read, 4
	case SetInput:
		length = 4
	case GetControl, SetControl:
		length = ControlBytes
	case QueryControl:
		length = QueryControlBytes
	case QueryMenu:
		length = QueryMenuBytes
	case GetExtControls, SetExtControls:
		length = a.ExtControlsBytes()
	case EnumFrameSizes:
		length = FrameSizeBytes
	case EnumFrameIntervals:
		length = FrameIntervalBytes
	case EncoderCommandNumber:
		length = EncoderCommandBytes
	case DequeueEvent:
		direction, length = read, a.EventBytes()
	case SubscribeEvent:
		direction, length = write, SubscriptionBytes
	case QueryExtControl:
		length = QueryExtControlBytes
	default:
		return 0
	}
	return request(direction, ordinal, length)
}

// String returns the name that the header gives to the ioctl, without its prefix
// VIDIOC_.
func (r Request) String() string {
	switch r.Ordinal() {
	case QueryCapability:
		return "QUERYCAP"
	case EnumFormats:
		return "ENUM_FMT"
	case GetFormat:
		return "G_FMT"
	case SetFormat:
		return "S_FMT"
	case TryFormat:
		return "TRY_FMT"
	case RequestBuffers:
		return "REQBUFS"
	case QueryBuffer:
		return "QUERYBUF"
	case Enqueue:
		return "QBUF"
	case Dequeue:
		return "DQBUF"
	case StreamOn:
		return "STREAMON"
	case StreamOff:
		return "STREAMOFF"
	case GetParameters:
		return "G_PARM"
	case SetParameters:
		return "S_PARM"
	case EnumInputs:
		return "ENUMINPUT"
	case GetInput:
		return "G_INPUT"
	case SetInput:
		return "S_INPUT"
	case GetControl:
		return "G_CTRL"
	case SetControl:
		return "S_CTRL"
	case QueryControl:
		return "QUERYCTRL"
	case QueryMenu:
		return "QUERYMENU"
	default:
		return r.newName()
	}
}

// newName names the later ioctls.
func (r Request) newName() string {
	switch r.Ordinal() {
	case GetExtControls:
		return "G_EXT_CTRLS"
	case SetExtControls:
		return "S_EXT_CTRLS"
	case EnumFrameSizes:
		return "ENUM_FRAMESIZES"
	case EnumFrameIntervals:
		return "ENUM_FRAMEINTERVALS"
	case EncoderCommandNumber:
		return "ENCODER_CMD"
	case DequeueEvent:
		return "DQEVENT"
	case SubscribeEvent:
		return "SUBSCRIBE_EVENT"
	case QueryExtControl:
		return "QUERY_EXT_CTRL"
	default:
		return fmt.Sprintf("ioctl %#08x", uint32(r))
	}
}
