package abi

// Lengths of structures, and where their fields lie, where that is the same on
// every machine.
const (
	CapabilityBytes  = 104
	CapabilityDriver = 0 // 16 characters
	CapabilityCard   = 16
	CapabilityBus    = 48
	CapabilityAll    = 84
	CapabilityNode   = 88

	DriverChars = 16
	NameChars   = 32 // every other text

	FmtdescBytes       = 64
	FmtdescIndex       = 0
	FmtdescType        = 4
	FmtdescFlags       = 8
	FmtdescText        = 12
	FmtdescPixelFormat = 44

	FrameSizeBytes       = 44
	FrameSizeIndex       = 0
	FrameSizePixelFormat = 4
	FrameSizeKind        = 8
	FrameSizeWidth       = 12 // discrete; else the least
	FrameSizeHeight      = 16 // discrete
	FrameSizeMaxWidth    = 16
	FrameSizeStepWidth   = 20
	FrameSizeMinHeight   = 24
	FrameSizeMaxHeight   = 28
	FrameSizeStepHeight  = 32

	FrameIntervalBytes       = 52
	FrameIntervalIndex       = 0
	FrameIntervalPixelFormat = 4
	FrameIntervalWidth       = 8
	FrameIntervalHeight      = 12
	FrameIntervalKind        = 16
	FrameIntervalMin         = 20 // two numbers, as the others; discrete too
	FrameIntervalMax         = 28
	FrameIntervalStep        = 36

	FormatType = 0

	// Within the union of struct v4l2_format.
	PixWidth        = 0
	PixHeight       = 4
	PixPixelFormat  = 8
	PixField        = 12
	PixBytesPerLine = 16
	PixSizeImage    = 20
	PixColorspace   = 24
	PixPriv         = 28
	PixFlags        = 32
	PixEncoding     = 36
	PixQuantization = 40
	PixTransfer     = 44

	MPlaneWidth        = 0
	MPlaneHeight       = 4
	MPlanePixelFormat  = 8
	MPlaneField        = 12
	MPlaneColorspace   = 16
	MPlanePlanes       = 20
	MPlaneCount        = 180 // one byte, as all that follow
	MPlaneFlags        = 181
	MPlaneEncoding     = 182
	MPlaneQuantization = 183
	MPlaneTransfer     = 184

	PlanePixBytes       = 20
	PlanePixSizeImage   = 0
	PlanePixBytesPerRow = 4

	StreamParmBytes      = 204
	StreamParmType       = 0
	StreamParmCapability = 4
	StreamParmInterval   = 12 // two numbers

	RequestBuffersBytes  = 20
	RequestBuffersCount  = 0
	RequestBuffersType   = 4
	RequestBuffersMemory = 8

	// What struct v4l2_buffer begins with.
	BufferIndex = 0
	BufferType  = 4
	BufferUsed  = 8
	BufferFlags = 12
	BufferField = 16

	PlaneUsed    = 0
	PlaneLength  = 4
	PlanePointer = 8

	ControlBytes = 8
	ControlID    = 0
	ControlValue = 4

	ExtControlsWhich = 0
	ExtControlsCount = 4

	ExtControlBytes = 20
	ExtControlID    = 0
	ExtControlSize  = 4
	ExtControlValue = 12

	QueryControlBytes   = 68
	QueryControlID      = 0
	QueryControlType    = 4
	QueryControlName    = 8
	QueryControlMin     = 40
	QueryControlMax     = 44
	QueryControlStep    = 48
	QueryControlDefault = 52
	QueryControlFlags   = 56

	QueryExtControlBytes   = 232
	QueryExtControlID      = 0
	QueryExtControlType    = 4
	QueryExtControlName    = 8
	QueryExtControlMin     = 40
	QueryExtControlMax     = 48
	QueryExtControlStep    = 56
	QueryExtControlDefault = 64
	QueryExtControlFlags   = 72

	QueryMenuBytes = 44
	QueryMenuID    = 0
	QueryMenuIndex = 4
	QueryMenuName  = 8
	QueryMenuValue = 8

	InputBytes  = 80
	InputIndex  = 0
	InputName   = 4
	InputType   = 36
	InputStatus = 56

	EncoderCommandBytes = 40
	EncoderCommand      = 0

	SubscriptionBytes = 32
	SubscriptionType  = 0
	SubscriptionID    = 4

	EventType    = 0
	EventUnion   = 8
	EventPending = 72
)
